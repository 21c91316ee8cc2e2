"""Sequences on their way into batches: cut to the tokens that count, checked, gathered to a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bandpo.microscope.batch import PER_TOKEN, TokenBatch, from_rows
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Options
from bandpo.microscope.reading.numbers import (
    Numbers,
    as_mask,
    check_values,
    dtype_name,
    group_number,
    number,
    numbers,
)
from bandpo.microscope.reading.texts import printable

_MAX_PROMPT = 10_000
# What a row costs beside its tokens, so that rows of none end a batch too.
_ROW = 16


@dataclass
class Row:
    """One sequence: its tensors by name, from the first token that counts to the last."""

    values: dict[str, Any]
    step: int | None = None
    prompt: str = ""
    texts: Mapping[int, str] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    nulls: int = 0

    @property
    def length(self) -> int:
        return len(self.values["mask"])

    @property
    def kind(self) -> tuple[Any, ...]:
        """Return what rows of one batch share: the step, and the names they have."""
        return self.step, *self.values


def make_row(
    place: str,
    *,
    mask: Any = None,
    groups: Any = None,
    rewards: Any = None,
    step: Any = None,
    prompt: Any = None,
    texts: Mapping[int, str] | None = None,
    **columns: Any,
) -> Row:
    """Return a sequence, from lists over all of its tokens.

    Tokens whose number is null are left out of the mask and counted; a list that has a number for none is left out.

    Args:
        place: file and line, for errors.
        mask: what counts; all of it, if None.
        groups: an integer or anything that tells groups apart.
        rewards: a number, or anything else for none.
        step: an integer, or anything else for none.
        prompt: its text.
        texts: what token ids read as.
        **columns: lists by their name in `TokenBatch`; None where there is none; one number for all advantages.

    Raises:
        BatchError: lists that differ in length or hold no numbers, an impossible value that counts.

    >>> row = make_row("a.jsonl, line 1", mask=[0, 1, 1], logp=[0.0, -1.0, None], step=3)
    >>> row.values["logp"], row.values["mask"], row.nulls
    (tensor([-1., nan]), tensor([ True, False]), 1)
    """
    advantage = number(columns.get("advantages"))
    if advantage is not None:
        del columns["advantages"]
    found = {name: numbers(columns[name], name, place) for name in PER_TOKEN if columns.get(name) is not None}
    counted = numbers(mask, "mask", place) if mask is not None else None
    length = _common_length(found if counted is None else {**found, "mask": counted}, place)
    counts = torch.ones(length, dtype=torch.bool) if counted is None else as_mask(counted.values, place)
    values, known = _without_nulls(found, counts)
    if advantage is not None:
        values["advantages"] = torch.full((length,), advantage)
    for name, tensor in values.items():
        check_values(name, tensor, known, place)
    numbered = {"groups": group_number(groups), "rewards": number(rewards)}
    return Row(
        values=_trimmed({"mask": known, **values}, counts)
        | {name: value for name, value in numbered.items() if value is not None},
        step=step if isinstance(step, int) and abs(step) < 2**63 else None,
        prompt=printable(prompt[:_MAX_PROMPT]) if isinstance(prompt, str) else "",
        texts=texts or {},
        dtypes={name: dtype_name(values) for name, values in columns.items() if isinstance(values, Tensor)},
        nulls=int((counts & ~known).sum()),
    )


def _common_length(lists: Mapping[str, Numbers], place: str) -> int:
    lengths = {name: len(given.values) for name, given in lists.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BatchError(f"{place}: lists of one sequence differ in length: {listed}")
    return next(iter(lengths.values()), 0)


def _without_nulls(found: Mapping[str, Numbers], counts: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Return the lists that have a number for a token that counts, and the tokens for which all of these have one."""
    kept = {name: given for name, given in found.items() if given.nulls is None or not given.nulls[counts].all()}
    known = counts.clone()
    for given in kept.values():
        if given.nulls is not None:
            known &= ~given.nulls
    return {name: given.values for name, given in kept.items()}, known


def _trimmed(values: dict[str, Tensor], counts: Tensor) -> dict[str, Any]:
    """Return the part between the first and last token that count, in memory of its own."""
    places = counts.nonzero()
    start, end = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
    return {name: tensor[start:end].clone() for name, tensor in values.items()}


def batches(
    rows: Iterable[Row], options: Options, *, source: str, format: str, remarks: Sequence[str] = ()
) -> Iterator[TokenBatch]:
    """Yield batches of rows of one step that have the same names, each of at most `max_tokens` positions.

    Args:
        rows: the sequences.
        options: the size.
        source: the file.
        format: who wrote it.
        remarks: notes of all batches; what is added while rows are read stands in those that follow.
    """
    waiting: dict[tuple[Any, ...], _Waiting] = {}
    for row in rows:
        kept = waiting.setdefault(row.kind, _Waiting())
        if kept.rows and kept.size_with(row) > options.max_tokens:
            yield _batch(kept.rows, source, format, remarks)
            kept = waiting[row.kind] = _Waiting()
        kept.add(row)
        while len(waiting) > 1 and sum(each.size for each in waiting.values()) > 2 * options.max_tokens:
            yield _batch(waiting.pop(next(iter(waiting))).rows, source, format, remarks)
    for kept in waiting.values():
        yield _batch(kept.rows, source, format, remarks)


class _Waiting:
    """Rows of one kind that are no batch yet."""

    def __init__(self):
        self.rows: list[Row] = []
        self.width = 0

    @property
    def size(self) -> int:
        return (self.width + _ROW) * len(self.rows)

    def size_with(self, row: Row) -> int:
        return max(self.width, row.length) * (len(self.rows) + 1) + _ROW * len(self.rows)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.width = max(self.width, row.length)


def _batch(rows: Sequence[Row], source: str, format: str, remarks: Sequence[str]) -> TokenBatch:
    nulls = sum(row.nulls for row in rows)
    texts: dict[int, str] = {}
    for row in rows:
        texts |= row.texts
    return from_rows(
        [row.values for row in rows],
        step=rows[0].step,
        texts=texts,
        dtypes=rows[0].dtypes,
        prompts=[row.prompt for row in rows] if any(row.prompt for row in rows) else (),
        source=source,
        format=format,
        notes=(*remarks, *([notes.nulls(nulls)] if nulls else [])),
    )
