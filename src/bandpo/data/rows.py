"""A look at every row before any work: which rows cannot be used and why, on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any], object]
WIDTH = 100
_ROWS_SHOWN, _REASONS_SHOWN = 10, 12


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        row: its index, from 0.
        reason: what is wrong with it.
    """

    row: int
    reason: str


@dataclass(frozen=True)
class Inspection:
    """The outcome of a look at a data set.

    Attributes:
        label: the option and its value, such as "dataset='mine.jsonl'".
        count: rows of the data set.
        bad: those that cannot be used, in their order.
    """

    label: str
    count: int
    bad: Sequence[BadRow]


class BadRows(ValueError):
    """Rows that cannot be used; its text is the page that says which and why.

    Args:
        inspections: of each data set that has any.
        advice: a last sentence, what to do.

    Attributes:
        page: the text, in lines of at most 100 columns.
    """

    def __init__(self, inspections: Sequence[Inspection], advice: str):
        lines = [line for inspection in inspections for line in _described(inspection)]
        self.page = "\n".join([*lines, _wrapped(advice, "")])
        super().__init__(self.page)


def find_bad_rows(columns: Mapping[str, Iterable[Any]], checks: Mapping[str, Sequence[Check]]) -> list[BadRow]:
    """Return what checks say against the values of columns, in the order of rows.

    Args:
        columns: values by name, of as many rows each.
        checks: for some of the columns, functions that raise ValueError with the reason; each different value is
            asked about once.

    >>> def positive(value):
    ...     if value < 0:
    ...         raise ValueError(f"answer is {value}: expected at least 0")
    >>> find_bad_rows({"answer": [3, -1]}, {"answer": [positive]})
    [BadRow(row=1, reason='answer is -1: expected at least 0')]
    """
    entries = []
    for place, (name, each) in enumerate(checks.items()):
        known: dict[Any, list[str]] = {}
        for row, value in enumerate(columns[name]):
            key = _key(value)
            reasons = known.get(key) if key is not None else None
            if reasons is None:
                reasons = list(dict.fromkeys(filter(None, (_reason(check, value) for check in each))))
                if key is not None:
                    known[key] = reasons
            entries += [(row, place, reason) for reason in reasons]
    return [BadRow(row, reason) for row, _, reason in sorted(entries, key=lambda entry: entry[:2])]


def good_rows(count: int, bad: Sequence[BadRow]) -> list[int]:
    """Return the indices of the rows with nothing against them.

    >>> good_rows(3, [BadRow(1, "answer is empty")])
    [0, 2]
    """
    left_out = {entry.row for entry in bad}
    return [row for row in range(count) if row not in left_out]


def _reason(check: Check, value: Any) -> str | None:
    try:
        check(value)
    except ValueError as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _key(value: Any) -> Any:
    """Return what equal values of equal types share, None where it is not worth the memory or there is nothing."""
    if isinstance(value, list):
        entries = [_key(entry) for entry in value]
        return None if None in entries else (list, *entries)
    is_scalar = value is None or isinstance(value, (str, int, float))
    return (type(value), value) if is_scalar else None


def _described(inspection: Inspection) -> list[str]:
    rows = len({entry.row for entry in inspection.bad})
    count = inspection.count
    how_many = f"none of its {count} rows can" if rows == count else f"{rows} of {count} rows cannot"
    title = _wrapped(f"{inspection.label}: {how_many} be used (the first row is row 0)", "")
    groups: dict[str, list[int]] = {}
    for entry in inspection.bad:
        groups.setdefault(entry.reason, []).append(entry.row)
    shown = [_wrapped(f"{_listed(at)}: {reason}", "  ") for reason, at in list(groups.items())[:_REASONS_SHOWN]]
    rest = len({row for at in list(groups.values())[_REASONS_SHOWN:] for row in at})
    return [title, *shown, *([f"  and {_counted(rest)} for other reasons"] if rest else [])]


def _listed(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:_ROWS_SHOWN]))
    more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {shown}{more}"


def _counted(rows: int) -> str:
    return f"{rows} row" if rows == 1 else f"{rows} rows"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ", break_on_hyphens=False)
