"""Folders of tables: which files in them hold which split, found without walking through all that lies there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

# Files beside tables that are none, as `datasets` leaves them out too.
_NO_TABLES = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_DEPTH, _ENTRIES = 3, 10_000
# Words of a name that say which split a file holds, as in `datasets`.
_SPLITS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "dev", "val"},
    "test": {"test", "testing", "eval", "evaluation"},
}


def split_files(folder: Path, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """Return the tables of a folder by split, in the order of their names.

    The split is a word of the file's name (train-00000.parquet, my.test.jsonl), else of the folders it is in
    (train/a.jsonl), else "train". Looked through are three levels of folders, hidden ones and those that begin with
    two underscores left out.

    Args:
        folder: where they are.
        suffixes: of tables, such as ".parquet".

    Raises:
        ValueError: no table, tables of several kinds, or more than 10,000 files and folders.
    """
    tables = sorted(path for path in _entries(folder) if path.suffix in suffixes and path.name not in _NO_TABLES)
    kinds = sorted({path.suffix for path in tables})
    if len(kinds) > 1 and ".json" in kinds:
        tables = [path for path in tables if path.suffix != ".json"]
        kinds.remove(".json")
    if not tables:
        raise ValueError(f"this folder holds no table, expected files ending in {', '.join(suffixes)}")
    if len(kinds) > 1:
        raise ValueError(f"this folder holds tables of several kinds ({', '.join(kinds)}), expected one kind or a file")
    for words in (lambda path: _words(path.stem), lambda path: _words(str(path.parent.relative_to(folder)))):
        splits = {name: [path for path in tables if keys & words(path)] for name, keys in _SPLITS.items()}
        if any(splits.values()):
            return {name: files for name, files in splits.items() if files}
    return {"train": tables}


def declares_files(folder: Path) -> bool:
    """Return whether a copy of a Hub repository says itself, in README.md, which files hold which split."""
    readme = folder / "README.md"
    if not readme.is_file():
        return False
    head = readme.read_text(encoding="utf-8", errors="replace")[:65_536]
    front = re.match(r"---\n(.*?)\n---", head, re.DOTALL)
    return front is not None and re.search(r"^configs:", front[1], re.MULTILINE) is not None


def _entries(folder: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(folder):
        seen += len(folders) + len(files)
        if seen > _ENTRIES:
            raise ValueError(f"this folder holds more than {_ENTRIES:,} files and folders, expected the table itself")
        is_deep = len(Path(place).relative_to(folder).parts) >= _DEPTH
        folders[:] = [] if is_deep else sorted(name for name in folders if not name.startswith((".", "__")))
        yield from (Path(place, name) for name in files if not name.startswith((".", "__")))


def _words(name: str) -> set[str]:
    return set(re.split(r"[-._ 0-9/\\]+", name))
