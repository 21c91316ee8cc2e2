"""Tables of any writer, a row a sequence: JSON lines and Parquet, with names the caller may give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading import notes
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.lines import Lines
from bandpo.microscope.reading.look import LINES, PARQUET, Look
from bandpo.microscope.reading.names import find_columns, has_log_probs, held_columns
from bandpo.microscope.reading.rows import Row, batches, make_row
from bandpo.microscope.reading.texts import needs

JSONL_NAME, PARQUET_NAME = "JSON lines", "Parquet"
_MAX_ROWS = 1024
# A row group of more numbers than this in a column, or a row of more than a batch, is read by no one here.
_MAX_ROW = 2**24


def recognises_lines(look: Look) -> bool:
    """Return whether lines hold something known as log-probs."""
    return look.kind == LINES and has_log_probs(look.columns)


def recognises_parquet(look: Look) -> bool:
    """Return whether a table holds something known as log-probs."""
    return look.kind == PARQUET and has_log_probs(look.columns)


def read_lines(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the sequences of JSON lines, read one by one."""
    find_columns(look.columns, options.columns, look.path)
    remarks: list[str] = []

    def rows() -> Iterator[Row]:
        lines = Lines(look.path)
        for line, found in lines:
            # Writers leave out what is not there, so that no two lines need have the same names.
            yield _row(found, held_columns(found, options.columns), f"{look.path}, line {line}")
        remarks.extend([notes.TORN_LINE] if lines.is_torn else [])

    yield from batches(rows(), options, source=str(look.path), format=JSONL_NAME, remarks=remarks)


def read_parquet(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the sequences of a Parquet file, read row group by row group."""
    columns = find_columns(look.columns, options.columns, look.path)
    rows = (
        _row(found, columns, f"{look.path}, row {number}")
        for number, found in enumerate(_parquet_rows(look.path, list(columns.values()), options.max_tokens))
    )
    yield from batches(rows, options, source=str(look.path), format=PARQUET_NAME)


def _row(found: Mapping[str, Any], columns: Mapping[str, str], place: str) -> Row:
    given = {name: found.get(column) for name, column in columns.items()}
    prompt = given.pop("prompts", None)
    token_ids = given.get("token_ids")
    if isinstance(token_ids, str):
        del given["token_ids"]
    if given.get("groups") is None:
        given["groups"] = prompt
    return make_row(place, prompt=prompt, **given)


def _parquet_rows(path: Path, columns: list[str], max_tokens: int) -> Iterable[dict[str, Any]]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise needs("pyarrow", path) from None
    with ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.metadata.num_row_groups):
            facts = file.metadata.row_group(group)
            most = max((facts.column(number).num_values for number in range(facts.num_columns)), default=0)
            longest = most // max(facts.num_rows, 1)
            if longest > _MAX_ROW:
                raise BatchError(f"{path}: a row of {longest} numbers, expected at most {_MAX_ROW}")
            count = min(_MAX_ROWS, max(1, max_tokens // max(longest, 1)))
            for part in file.iter_batches(count, row_groups=[group], columns=columns):
                for number in range(len(part)):
                    yield {name: _plain(part.column(name)[number]) for name in part.schema.names}


def _plain(value: Any) -> Any:
    """Return an Arrow value as numbers: a list without gaps as a tensor, anything else as Python has it."""
    values = getattr(value, "values", None)
    if values is None or values.null_count or not hasattr(values, "to_numpy"):
        return value.as_py()
    array = values.to_numpy(zero_copy_only=False)
    return torch.from_numpy(array.copy()) if array.dtype.kind in "fiub" else value.as_py()


JSONL = Format(JSONL_NAME, recognises_lines, read_lines, has_columns=True)
TABLE = Format(PARQUET_NAME, recognises_parquet, read_parquet, has_columns=True)
