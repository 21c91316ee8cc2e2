"""Answers before and after: of the first and the last recorded batch, and the final policy's held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.inspection.stopped import text_of
from bandpo.microscope.parts import by_step
from bandpo.microscope.reading.folders import files_of
from bandpo.microscope.reading.read import read_batches
from bandpo.views.report.lines import Lines
from bandpo.views.report.text import number, paragraph, short

_MOST_PROMPTS, _MOST_ANSWERS, _MOST_KEPT, _MOST_TOKENS = 6, 4, 4096, 1024
_PROMPT, _ANSWER = 600, 800


@dataclass
class Answer:
    """An answer, its reward, and how often it was given."""

    text: str
    reward: str
    is_good: bool
    times: int = 1


@dataclass
class Prompt:
    """A prompt with its different answers, in the order in which they came."""

    text: str
    answers: list[Answer] = field(default_factory=list)
    more: int = 0


@dataclass
class Samples:
    """Answers of one policy; `said` is a sentence on how many there are and how they scored."""

    title: str
    said: str
    prompts: list[Prompt]


def recorded_samples(path: Path) -> list[Samples]:
    """Return the answers of the first and the last recorded batch, one of them where they are the same.

    Batches without token ids have no answers; what cannot be read is left out, as the inspection says already.
    """
    batches = _first_and_last(path)
    found = []
    for when, batch in batches:
        if batch.token_ids is None:
            continue
        update = "" if batch.step is None else f", update {batch.step}"
        rows = [_row(batch, at) for at in range(min(len(batch.mask), _MOST_KEPT))]
        found.append(_samples(f"{when} recorded batch{update}", rows))
    return found


def _first_and_last(path: Path) -> list[tuple[str, TokenBatch]]:
    try:
        files = [parts[0] for parts in by_step(files_of(path) if path.is_dir() else [path])]
    except (ValueError, OSError):
        return []
    first = _found(files, lambda batches: next(batches, None))
    last = _found(files[::-1], _last)
    if first is None or last is None:
        return []
    is_same = (first.source, first.step) == (last.source, last.step)
    return [("First", first)] if is_same else [("First", first), ("Last", last)]


def _found(files: Sequence[Path], pick: Callable[[Iterator[TokenBatch]], TokenBatch | None]) -> TokenBatch | None:
    """Return what is picked from the first of the files that can be read."""
    for file in files[:8]:
        try:
            batch = pick(read_batches(file, None, on_error=lambda path, error: None))
        except (ValueError, OSError, RuntimeError):
            continue
        if batch is not None:
            return batch
    return None


def _last(batches: Iterator[TokenBatch]) -> TokenBatch | None:
    newest = None
    for batch in batches:
        newest = batch
    return newest


def _row(batch: TokenBatch, at: int) -> tuple[str, str, float | None]:
    assert batch.token_ids is not None
    ids = batch.token_ids[at][batch.mask[at]][:_MOST_TOKENS].tolist()
    texts = [text_of(batch, token)[:_ANSWER] for token in ids]
    # A vocabulary of words has no blanks of its own.
    between = "" if any(" " in text or "\n" in text for text in texts) else " "
    reward = None if batch.rewards is None else number(float(batch.rewards[at]))
    return (batch.prompts[at] if batch.prompts else ""), between.join(texts), reward


def held_out_samples(path: Path, title: str) -> tuple[list[Samples], list[str]]:
    """Return the answers of samples.jsonl, and sentences on what of it is damaged."""
    lines = Lines(path)
    rows, rewards, count = [], [], 0
    for record in lines:
        reward = number(record.get("reward"))
        count += 1
        rewards += [] if reward is None else [reward]
        if len(rows) < _MOST_KEPT:
            rows.append((_text(record, "prompt"), _text(record, "completion"), reward))
    return ([_samples(title, rows, count, rewards)] if rows else []), lines.remarks()


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if isinstance(value, list):  # a conversation
        return "\n".join(str(turn.get("content", "")) if isinstance(turn, Mapping) else str(turn) for turn in value)
    return "" if value is None else str(value)


def _samples(
    title: str,
    rows: Sequence[tuple[str, str, float | None]],
    count: int | None = None,
    rewards: Sequence[float] | None = None,
) -> Samples:
    prompts: dict[str, list[tuple[str, float | None]]] = {}
    for prompt, answer, reward in rows:
        prompts.setdefault(prompt, []).append((answer, reward))
    known = [reward for _, _, reward in rows if reward is not None] if rewards is None else rewards
    said = f"{count or len(rows):,} answers" + (f", mean reward {short(sum(known) / len(known))}" if known else "")
    shown = [_prompt(text, answers) for text, answers in list(prompts.items())[:_MOST_PROMPTS]]
    if len(prompts) > len(shown):
        said += f"; the first {len(shown)} of {len(prompts):,} prompts are shown"
    return Samples(title, said, shown)


def _prompt(text: str, answers: Sequence[tuple[str, float | None]]) -> Prompt:
    found: dict[tuple[str, float | None], Answer] = {}
    for answer, reward in answers:
        if (answer, reward) in found:
            found[answer, reward].times += 1
        else:
            found[answer, reward] = Answer(paragraph(answer, _ANSWER), short(reward), (reward or 0) > 0)
    kept = list(found.values())[:_MOST_ANSWERS]
    return Prompt(paragraph(text, _PROMPT), kept, len(found) - len(kept))
