"""ROLL's logging board: a line a sequence of the response, tokens as texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.lines import Lines
from bandpo.microscope.reading.look import Look
from bandpo.microscope.reading.numbers import digest
from bandpo.microscope.reading.rows import Row, batches, make_row
from bandpo.microscope.reading.texts import printable

NAME = "ROLL logging board"
_MAX_TEXT = 100


def recognises(look: Look) -> bool:
    """Return whether lines hold token texts beside both recomputations."""
    return {"response_tokens", "logprobs", "log_probs2"} <= set(look.columns)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the responses; `logprobs` are the old policy's, `log_probs2` its second recomputation before the update."""
    remarks = [notes.SECOND_RECOMPUTATION, notes.TOKENS_BY_TEXT]
    for batch in batches(_rows(look, remarks), options, source=str(look.path), format=NAME, remarks=remarks):
        yield replace(batch, is_first_use=batch.logp is not None)


def _rows(look: Look, remarks: list[str]) -> Iterator[Row]:
    lines = Lines(look.path)
    for line, found in lines:
        tokens = found["response_tokens"]
        numbered = {text: digest(text) for text in dict.fromkeys(tokens)}
        yield make_row(
            f"{look.path}, line {line}",
            mask=found.get("new_response_mask"),
            token_ids=[numbered[text] for text in tokens],
            texts={token: printable(str(text)[:_MAX_TEXT]) for text, token in numbered.items()},
            logp=_values(found.get("log_probs2")),
            logp_old=_values(found["logprobs"]),
            logp_ref=_values(found.get("ref_logprobs")),
            entropy=_values(found.get("old_log_probs2_entropy")),
            rewards=found.get("reward"),
            groups=found.get("prompt"),
            prompt=found.get("prompt"),
            step=found.get("step"),
        )
    remarks.extend([notes.TORN_LINE] if lines.is_torn else [])


def _values(values: Any) -> Any:
    """Return a list, and nothing for an empty one: what ROLL did not compute."""
    return values or None


FORMAT = Format(NAME, recognises, read)
