"""open-instruct's rollout shards: a line a response, with what the sampler knew."""

from __future__ import annotations

from collections.abc import Iterator

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.lines import Lines
from bandpo.microscope.reading.look import Look
from bandpo.microscope.reading.rows import Row, batches, make_row

NAME = "open-instruct rollouts"


def recognises(look: Look) -> bool:
    """Return whether lines hold prompt and response tokens apart."""
    return {"prompt_tokens", "response_tokens", "logprobs", "prompt_idx"} <= set(look.columns)


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the responses; `logprobs` are the sampler's."""
    remarks = [notes.GROUPS_BY_PROMPT, notes.TOOL_OUTPUTS_COUNT]
    yield from batches(_rows(look, remarks), options, source=str(look.path), format=NAME, remarks=remarks)


def _rows(look: Look, remarks: list[str]) -> Iterator[Row]:
    lines = Lines(look.path)
    for line, found in lines:
        yield make_row(
            f"{look.path}, line {line}",
            token_ids=found["response_tokens"],
            logp_rollout=found["logprobs"],
            advantages=found.get("advantage"),
            rewards=found.get("reward"),
            groups=found["prompt_tokens"],
            step=found.get("step"),
        )
    remarks.extend([notes.TORN_LINE] if lines.is_torn else [])


FORMAT = Format(NAME, recognises, read)
