"""Tables from local files, saved folders or the Hub, with errors that name what was asked for."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError

from bandpo.core.checks import suggestion
from bandpo.data.folders import declares_files, split_files
from bandpo.data.json_columns import as_written, bad_line, mixed_columns

LOADERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
_CHUNK = 2**20
# Columns whose values mean something here.
_READ = {"prompt", "problem", "question", "answer", "solution", "reward_model"}


def read_table(
    name: str,
    split: str,
    *,
    config: str | None = None,
    option: str = "dataset",
    expected: str = "a path or a Hub id",
    known: Sequence[str] = (),
) -> Dataset:
    """Return the rows of a file, a folder or a Hub data set, as they are written.

    Args:
        name: path of .jsonl, .json, .parquet or .csv, in which * ? [ ] stand for themselves; folder of `save_to_disk`
            or with tables, such as a copy of a Hub repository; Hub id.
        split: split of a folder or a Hub data set; a single file has none.
        config: configuration of a Hub data set.
        option: what errors call the data set.
        expected: what errors say a name may be.
        known: names that have a meaning of their own where this is called, for "did you mean".

    Raises:
        ValueError: not found, unknown format, no such split, unreadable, or no row.
    """
    path = Path(name).expanduser()
    if path.is_file() and path.suffix not in LOADERS:
        raise ValueError(f"{option}={name!r}: expected a file ending in {', '.join(LOADERS)}")
    if not path.exists() and (looks_local(name) or path.suffix in LOADERS):
        raise ValueError(f"{option}={name!r}: no such file or folder; expected {expected}")
    if not path.exists() and "/" not in name:
        missing = f"no such file or folder, and no Hub id of the form owner/name{suggestion(name, known)}"
        raise ValueError(f"{option}={name!r}: {missing}; expected {expected}")
    try:
        data = _load(name, path, split, config)
    except StopIteration:
        raise ValueError(f"{option}={name!r} is empty: expected at least one row") from None
    except KeyError as error:
        raise ValueError(f"{option}={name!r} has no split {split!r}: expected another, or the file itself") from error
    except DatasetGenerationError as error:
        reason = _bad_line(path) or first_line(error.__cause__ or error)
        raise ValueError(f"{option}={name!r}: not read, {reason}") from error
    except (OSError, ValueError) as error:
        reason = _bad_line(path) or first_line(error)
        raise ValueError(f"{option}={name!r}: not loaded, {reason}; expected {expected}") from error
    if not len(data):
        raise ValueError(f"{option}={name!r} is empty: expected at least one row")
    return data


def has_splits(name: str) -> bool:
    """Return whether a source may have splits: all but a file and a folder of one saved table.

    >>> from bandpo.data.reading import has_splits
    >>> has_splits("owner/name"), has_splits("tests/data/samples/aime24.jsonl")
    (True, False)
    """
    path = Path(name).expanduser()
    return not (path.is_file() or (path / "state.json").is_file())


def _load(name: str, path: Path, split: str, config: str | None) -> Any:
    if path.is_file():
        return _load_files([path], split="train")
    if (path / "state.json").is_file():
        return load_from_disk(str(path))
    if (path / "dataset_dict.json").is_file():
        return load_from_disk(str(path))[split]
    if path.is_dir() and not declares_files(path):
        return _load_files(split_files(path, tuple(LOADERS))[split], split)
    if path.is_dir() and glob.escape(str(path)) != str(path):
        raise ValueError("a folder with a README of its own files may not have * ? [ ] in its path")
    data = load_dataset(str(path) if path.is_dir() else name, config, split=split)
    mixed = sorted(_READ & set(mixed_columns(data)))
    if mixed:
        raise ValueError(f"column {mixed[0]!r} holds values of several types, which only a single file may")
    return data


def _load_files(files: Sequence[Path], split: str) -> Any:
    """Load the rows of tables of one kind; their names are no patterns."""
    kind = LOADERS[files[0].suffix]
    if kind != "parquet":
        for file in files:
            _check_text(file)
    names = [glob.escape(str(file.absolute())) for file in files]
    data = load_dataset(kind, data_files={split: names}, split=split)
    return as_written(data, files) if kind == "json" else data


def _check_text(file: Path) -> None:
    """Raise ValueError where a file is no UTF-8, which the readers of `datasets` may hand on as it is."""
    with file.open(encoding="utf-8") as text:
        try:
            while text.read(_CHUNK):
                pass
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8, {error.reason}") from None


def _bad_line(path: Path) -> str | None:
    return bad_line(path) if path.is_file() and path.suffix == ".jsonl" else None


def split_names(text: str) -> list[str]:
    """Return the names between commas, or the one name where there is a file or folder of that name.

    >>> from bandpo.data.reading import split_names
    >>> split_names("a.jsonl, b.jsonl")
    ['a.jsonl', 'b.jsonl']
    """
    if Path(text).expanduser().exists():
        return [text]
    return [name.strip() for name in text.split(",") if name.strip()]


def looks_local(name: str) -> bool:
    """Return whether a name can only be a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
