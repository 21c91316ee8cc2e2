"""prime-rl's token export: `token_exports/step_N/rank_R.jsonl`, a line a sequence, prompt and completion together."""

from __future__ import annotations

from collections.abc import Iterator

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.lines import Lines
from bandpo.microscope.reading.look import Look
from bandpo.microscope.reading.numbers import number
from bandpo.microscope.reading.rows import Row, batches, make_row

NAME = "prime-rl token export"


def recognises(look: Look) -> bool:
    """Return whether lines hold both log-probs and the loss mask under this engine's names."""
    return {"token_ids", "loss_mask", "inference_logprobs", "trainer_logprobs"} <= set(look.columns)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the sequences of a rank; `trainer_logprobs` are of the training forward, the old policy is the sampler."""
    remarks = [notes.GROUPS_BY_PROMPT]
    if look.path.parent.name.startswith("step_") and not (look.path.parent / "STABLE").exists():
        remarks.append(notes.NO_STABLE_MARK)
    yield from batches(_rows(look, remarks), options, source=str(look.path), format=NAME, remarks=remarks)


def _rows(look: Look, remarks: list[str]) -> Iterator[Row]:
    lines = Lines(look.path)
    for line, found in lines:
        mask, token_ids = found["loss_mask"], found["token_ids"]
        prompt = token_ids[: mask.index(True)] if True in mask else token_ids
        yield make_row(
            f"{look.path}, line {line}",
            mask=mask,
            token_ids=token_ids,
            logp=found["trainer_logprobs"],
            logp_rollout=found["inference_logprobs"],
            logp_ref=found.get("ref_logprobs"),
            advantages=found.get("advantages"),
            entropy=found.get("entropy"),
            rewards=number(found.get("rewards")),
            groups=prompt,
            step=found.get("step"),
        )
    remarks.extend([notes.TORN_LINE] if lines.is_torn else [])


FORMAT = Format(NAME, recognises, read)
