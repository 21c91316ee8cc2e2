"""slime's and miles's `--dump-details`: training data by sample, joined with the rollouts they came from.

`train_data/ID.pt` (slime, all ranks) or `ID_RANK.pt` (miles, older slime) hold what the loss took;
`rollout_data/ID.pt` beside them the samples with prompt, group and reward; miles's `policy_loss_debug` the log-probs of
the training forward, without saying whose they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.look import TORCH, Look, check_openable
from bandpo.microscope.reading.miles_debug import new_log_probs
from bandpo.microscope.reading.numbers import digest, number, numbers
from bandpo.microscope.reading.rows import Row, batches, make_row
from bandpo.microscope.reading.torch_file import load

SLIME, MILES = "slime dump", "miles dump"
# Cut into a slice a rank by context parallelism.
_SLICED = ("log_probs", "rollout_log_probs", "ref_log_probs", "entropy", "advantages")
_NAMES = {"logp_old": "log_probs", "logp_rollout": "rollout_log_probs", "logp_ref": "ref_log_probs"}


def recognises(look: Look) -> bool:
    """Return whether a file of `torch.save` holds samples of a rollout, or their columns."""
    held = look.pickled if look.kind == TORCH else None
    return isinstance(held, dict) and "rollout_id" in held and ("samples" in held or "rollout_data" in held)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the responses of a rollout; `log_probs` are the old policy's."""
    held = look.pickled
    is_trained = "rollout_data" in held or "dp_shards" in held
    name = MILES if "rollout_data" in held else SLIME
    remarks: list[str] = []
    rows = _trained(look.path, held, remarks) if is_trained else _rolled_out(look.path, held)
    yield from batches(rows, options, source=str(look.path), format=name, remarks=remarks)


def _rolled_out(path: Path, held: Mapping[str, Any]) -> Iterator[Row]:
    for position, sample in enumerate(held["samples"]):
        yield _row(f"{path}, sample {position}", held["rollout_id"], {}, sample, None)


def _trained(path: Path, held: Mapping[str, Any], remarks: list[str]) -> Iterator[Row]:
    samples = held["samples"] if "samples" in held else _by_sample(held["rollout_data"])
    if (number(held.get("cp_size")) or 1) > 1:
        remarks.append(notes.CONTEXT_PARALLEL)
        samples = [{name: value for name, value in sample.items() if name not in _SLICED} for sample in samples]
    else:
        remarks.append(notes.LOG_PROBS_MAY_BE_NEW)
    rollouts = _rollouts(path, held["rollout_id"])
    remarks.extend([] if rollouts else [notes.GROUPS_BY_PROMPT])
    new, joined = new_log_probs(path.absolute().parent.parent / "policy_loss_debug", samples)
    remarks.extend(joined)
    for position, (sample, logp) in enumerate(zip(samples, new, strict=True)):
        rollout = next((rollouts[key] for key in _keys(sample) if key in rollouts), {})
        yield _row(f"{path}, sample {position}", held["rollout_id"], sample, rollout, logp)


def _by_sample(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return columns over the samples of a rank as one mapping a sample; what is no such column is left out."""
    count = len(columns["response_lengths"])
    per_sample = {
        name: values
        for name, values in columns.items()
        if isinstance(values, (list, tuple, Tensor)) and len(values) == count
    }
    samples = [{name: values[number] for name, values in per_sample.items()} for number in range(count)]
    for sample in samples:
        sample["sample_index"] = sample.pop("sample_indices", None)
    return samples


def _rollouts(path: Path, step: Any) -> dict[Any, Mapping[str, Any]]:
    """Return the rollout's samples by whatever may name them."""
    beside = path.absolute().parent.parent / "rollout_data" / f"{path.stem.partition('_')[0]}.pt"
    if not beside.exists():
        return {}
    check_openable(beside)
    held = load(beside)
    if held["rollout_id"] != step:
        return {}
    return {key: sample for sample in held["samples"] for key in _keys(sample)}


def _keys(sample: Mapping[str, Any]) -> Iterator[tuple[float | None, int]]:
    """Yield what names a sample: its number with its tokens, then its tokens alone."""
    tokens = digest(_list(sample.get("tokens")))
    yield number(sample.get("sample_index", sample.get("index"))), tokens
    yield None, tokens


def _row(place: str, step: Any, trained: Mapping[str, Any], rollout: Mapping[str, Any], logp: Tensor | None) -> Row:
    tokens = numbers(_list(trained.get("tokens", rollout.get("tokens"))), "token_ids", place).values
    length = int(number(trained.get("response_lengths", rollout.get("response_length"))) or 0)
    prompt, response = tokens[: len(tokens) - length], tokens[len(tokens) - length :]
    given = {name: trained.get(theirs) for name, theirs in _NAMES.items()}
    if given["logp_rollout"] is None:
        given["logp_rollout"] = rollout.get("rollout_log_probs")
    group = rollout.get("group_index")
    return make_row(
        place,
        mask=_list(trained.get("loss_masks", rollout.get("loss_mask"))),
        token_ids=response,
        logp=logp,
        advantages=trained.get("advantages"),
        entropy=trained.get("entropy"),
        rewards=rollout.get("reward"),
        groups=prompt if group is None else group,
        step=step,
        prompt=_text(rollout.get("prompt")),
        **given,
    )


def _list(values: Any) -> Any:
    return values.tolist() if isinstance(values, Tensor) and values.dim() == 1 else values


def _text(prompt: Any) -> str | None:
    """Return a prompt as it is, or its messages as JSON."""
    if isinstance(prompt, list):
        return json.dumps(prompt, ensure_ascii=False, default=str)
    return prompt if isinstance(prompt, str) else None


FORMAT = Format("slime and miles dumps", recognises, read)
