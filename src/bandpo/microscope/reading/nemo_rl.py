"""NeMo-RL's `train_data_stepN.jsonl`: a line a sequence, each value in a list of one, prompt and padding included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.lines import Lines
from bandpo.microscope.reading.look import Look
from bandpo.microscope.reading.numbers import number, only
from bandpo.microscope.reading.rows import Row, batches, make_row

NAME = "NeMo-RL train data"


def recognises(look: Look) -> bool:
    """Return whether lines hold this engine's two masks and its log-probs."""
    return {"token_loss_mask", "sample_loss_mask", "prev_logprobs"} <= set(look.columns)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the sequences of a step; `prev_logprobs` are the old policy's, `generation_logprobs` the sampler's."""
    remarks = [notes.GROUPS_BY_PROMPT]
    yield from batches(_rows(look, remarks), options, source=str(look.path), format=NAME, remarks=remarks)


def _rows(look: Look, remarks: list[str]) -> Iterator[Row]:
    step = re.search(r"step_?(\d+)", look.path.name)
    lines = Lines(look.path)
    for line, found in lines:
        yield _row(
            {name: only(value) for name, value in found.items()},
            int(step[1]) if step else None,
            f"{look.path}, line {line}",
        )
    remarks.extend([notes.TORN_LINE] if lines.is_torn else [])


def _row(found: dict[str, Any], step: int | None, place: str) -> Row:
    length = number(found.get("input_lengths"))
    whole = slice(None if length is None else int(length))
    mask = list(found["token_loss_mask"][whole])
    first = mask.index(1) if 1 in mask else len(mask)
    if not number(found["sample_loss_mask"]):
        mask = [0] * len(mask)
    # A token's number stands at its own place, and nothing predicts the first.
    mask[:1] = [0] * len(mask[:1])
    columns = {
        "token_ids": found.get("token_ids"),
        "logp_old": found["prev_logprobs"],
        "logp_rollout": found.get("generation_logprobs"),
        "advantages": found.get("advantages"),
    }
    cut: dict[str, Any] = {
        name: values[whole] if isinstance(values, list) else values for name, values in columns.items()
    }
    token_ids = cut["token_ids"]
    return make_row(
        place,
        mask=mask,
        rewards=found.get("rewards"),
        groups=token_ids[:first] if isinstance(token_ids, list) else None,
        step=step,
        **cut,
    )


FORMAT = Format(NAME, recognises, read)
