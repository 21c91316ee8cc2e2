"""The rows a run uses: looked at before any work, each with the place it is from."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import pyarrow
import torch
from datasets import Dataset, concatenate_datasets

from bandpo.data.json_columns import mixed_columns
from bandpo.data.messages import check_prompt, plain_messages
from bandpo.data.rows import BadRow, Check, Inspection, find_bad_rows, good_rows
from bandpo.rewards.messages import content_text
from bandpo.store.reward_columns import ROW

_ADDED = "bandpo_added"


@dataclass(frozen=True)
class Part:
    """Rows of one file, folder or task.

    Attributes:
        label: its option and name, such as "dataset='mine.jsonl'".
        name: file, folder or task.
        rows: all of them.
    """

    label: str
    name: str
    rows: Dataset


@dataclass(frozen=True)
class Rows:
    """The rows that can be used.

    Attributes:
        data: them, one part after another.
        parts: name of each part and the indices of its rows that are in `data`.
    """

    data: Dataset
    parts: Sequence[tuple[str, Sequence[int]]]

    def place(self, index: int) -> str:
        """Return where the row of this index is, such as "row 3 of mine.jsonl"."""
        ends = list(accumulate(len(rows) for _, rows in self.parts))
        part = bisect_right(ends, index)
        name, rows = self.parts[part]
        return f"row {rows[index - (ends[part] - len(rows))]} of {name}"


def look(parts: Sequence[Part], rewards: Sequence[Any]) -> list[Inspection]:
    """Return what is wrong with rows: their prompt, and their answer where a reward says which it can read.

    Args:
        parts: of one data set.
        rewards: functions; `check_answer` of one is called with a row's answer and raises ValueError where it cannot
            read it.

    Returns:
        one for each part, with no bad row where all is well.
    """
    checks: dict[str, list[Check]] = {"prompt": [check_prompt]}
    readers = [getattr(reward, "check_answer", None) for reward in rewards]
    checks["answer"] = [reader for reader in readers if reader is not None]
    kind: list[str] = []
    return [Inspection(part.label, len(part.rows), _look_at(part, checks, kind)) for part in parts]


def usable(parts: Sequence[Part], inspected: Sequence[Inspection]) -> Rows:
    """Return the rows of parts with nothing against them.

    Args:
        parts: of one data set.
        inspected: what `look` found in each.

    Raises:
        ValueError: parts with different columns.
    """
    kept = [good_rows(len(part.rows), inspection.bad) for part, inspection in zip(parts, inspected, strict=True)]
    plain = [replace(part, rows=_plain(part.rows, rows)) for part, rows in zip(parts, kept, strict=True)]
    return Rows(joined(plain), [(part.name, rows) for part, rows in zip(parts, kept, strict=True)])


def check_lengths(rows: Rows, tokenizer: Any, room: int) -> None:
    """Raise ValueError at the first prompt that has more tokens than there is room for, a chat's template left out."""
    for index, prompt in enumerate(column(rows.data, "prompt")):
        text = prompt if isinstance(prompt, str) else "".join(content_text(each.get("content")) for each in prompt)
        # A token has a character at least.
        if len(text) > room and (count := len(tokenizer(text)["input_ids"])) > room:
            raise ValueError(
                f"{rows.place(index)}: a prompt of {count:,} tokens, expected at most {room:,}, which the answer "
                "(max_completion_length) leaves of the model's positions"
            )


def joined(parts: Sequence[Part]) -> Dataset:
    """Return the rows of parts one after another.

    Raises:
        ValueError: different columns.
    """
    first = parts[0].rows.features
    for part in parts[1:]:
        own = part.rows.features
        for name in sorted({*first, *own}):
            if str(first.get(name)) != str(own.get(name)):
                raise ValueError(
                    f"{part.label}: columns differ, expected those of {parts[0].name}, where {name!r} is "
                    f"{_type(first.get(name))} and here {_type(own.get(name))}"
                )
    return parts[0].rows if len(parts) == 1 else concatenate_datasets([part.rows for part in parts])


def column(table: Dataset, name: str) -> list[Any]:
    """Return the values of a column as Python has them."""
    return list(table.select_columns([name])[:][name])


class TrainingRows(torch.utils.data.Dataset):
    """Rows with their index; the latest batch is kept, for TRL asks for a rollout's at every one of its updates."""

    def __init__(self, data: Any):
        self.data, self.indices, self.rows = data, None, []

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.data[index], ROW: index}

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        if indices != self.indices:
            self.indices, self.rows = indices, self.data.__getitems__(indices)
        return [{**row, ROW: index} for row, index in zip(self.rows, indices, strict=True)]


def _look_at(part: Part, checks: Mapping[str, Sequence[Check]], kind: list[str]) -> list[BadRow]:
    checks = {name: each for name, each in checks.items() if each and name in part.rows.column_names}
    columns = {name: column(part.rows, name) for name in checks}
    bad = find_bad_rows(columns, checks)
    return sorted([*bad, *_of_another_kind(columns["prompt"], bad, kind)], key=lambda entry: entry.row)


def _of_another_kind(prompts: Sequence[Any], bad: Sequence[BadRow], kind: list[str]) -> list[BadRow]:
    """Find prompts that are text where the first one, which `kind` remembers, is a chat, or the other way round."""
    others = []
    for row in good_rows(len(prompts), bad):
        own = "text" if isinstance(prompts[row], str) else "a chat"
        kind[:] = kind or [own]
        if own != kind[0]:
            others.append(BadRow(row, f"prompt is {own}, while the first one is {kind[0]}: expected all of one kind"))
    return others


def _plain(table: Dataset, rows: Sequence[int]) -> Dataset:
    """Return these rows, text parts of their prompts joined, columns of one type where bad rows had others."""
    kept = table if len(rows) == len(table) else table.select(rows)
    prompts = column(kept, "prompt")
    plain = [plain_messages(prompt) for prompt in prompts]
    changed = {} if all(a is b for a, b in zip(prompts, plain, strict=True)) else {"prompt": plain}
    changed |= {name: column(kept, name) for name in mixed_columns(kept) if name not in changed}
    for name, values in changed.items():
        with contextlib.suppress(pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            added: Any = kept.add_column(_ADDED, values)  # pyright: ignore[reportCallIssue]
            kept = added.remove_columns(name).rename_column(_ADDED, name)
    return kept


def _type(feature: Any) -> str:
    return "missing" if feature is None else str(getattr(feature, "dtype", None) or feature)
