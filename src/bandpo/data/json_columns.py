"""Columns of JSON files that `datasets` reads as something else than is written: put back as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
from datasets import Dataset, Features, Value

# Whole doubles from here on may be another integer than the one in the file.
_EXACT = 2.0**53
# Text of JSON in a column, read back as the value; a `datasets` without it refuses columns of several types itself.
_Json: Any = getattr(datasets, "Json", None)


def as_written(table: Dataset, files: Sequence[Path]) -> Dataset:
    """Return the table with the values of the JSON files it was read from.

    `datasets` reads a text that looks like JSON ("2", "null") as JSON where a column holds other types too, a text
    that looks like a date as a date, and integers beyond 2^53 as floats. Other columns are left alone.

    Args:
        table: rows of all files, in their order.
        files: .json or .jsonl.

    Raises:
        ValueError: the files have another number of rows.
    """
    changed = [name for name, feature in table.features.items() if _is_changed(table, name, feature)]
    if not changed:
        return table
    rows = [row for file in files for row in _rows(file)]
    if len(rows) != len(table):
        raise ValueError(f"{len(rows)} rows in {', '.join(map(str, files))}: expected {len(table)}, one a line")
    columns = dict(zip(table.column_names, table.data.columns, strict=True))
    features = dict(table.features)
    for name in changed:
        values = [row.get(name) for row in rows]
        if all(value is None or isinstance(value, str) for value in values):
            columns[name], features[name] = pyarrow.array(values, pyarrow.string()), Value("string")
        elif _Json is not None:
            encoded = [None if value is None else json.dumps(value) for value in values]
            columns[name], features[name] = pyarrow.array(encoded, _Json()()), _Json()
    return Dataset(pyarrow.table(columns), info=datasets.DatasetInfo(features=Features(features)))


def mixed_columns(table: Dataset) -> list[str]:
    """Return the columns whose values `datasets` found to be of several types."""
    return [name for name, feature in table.features.items() if "Json(" in repr(feature)]


def bad_line(file: Path) -> str | None:
    """Return what is wrong with the first line of a .jsonl file that is no JSON object, None where all are."""
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").split("\n"), start=1):
        try:
            row = json.loads(line) if line.strip() else {}
        except ValueError as error:
            return f"line {number} is not JSON ({error}): {line[:40]!r}"
        if not isinstance(row, dict):
            return f"line {number} is not a JSON object: {line[:40]!r}"
    return None


def _is_changed(table: Dataset, name: str, feature: Any) -> bool:
    kind = repr(feature)
    if kind == repr(Value("float64")):
        return bool((np.abs(table.data.column(name).to_numpy()) >= _EXACT).any())
    return any(word in kind for word in ("Json(", "'timestamp", "'date", "'time"))


def _rows(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        return json.loads(text, parse_int=_integer)
    return [json.loads(line, parse_int=_integer) for line in text.split("\n") if line.strip()]


def _integer(digits: str) -> int | float:
    """Return an integer of 64 bits; a larger one as a float, since the reader of `datasets` would cut it off."""
    value = int(digits)
    return value if -(2**63) <= value < 2**63 else float(value)
