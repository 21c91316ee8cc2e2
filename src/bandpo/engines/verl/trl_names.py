"""TRL beside verl: where TRL is installed, verl imports classes of it that newer releases do not have."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

_IMPORT = re.compile(r"^\s*from (trl[\w.]*) import (\w+)", re.MULTILINE)


def lacking() -> list[str]:
    """Return the names that the installed verl imports from TRL and that the installed TRL does not have.

    Both packages are read as text, nothing is imported. Empty where one of them is not installed.

    >>> isinstance(lacking(), list)
    True
    """
    verl, trl = _package("verl"), _package("trl")
    return [] if verl is None or trl is None else names_lacking(verl, trl)


def names_lacking(verl: Path, trl: Path) -> list[str]:
    """Return the names that Python files under `verl` import from TRL and no named module under `trl` mentions.

    A name that is imported from several modules is a choice: one that has it is enough.

    Args:
        verl, trl: the packages' folders.
    """
    sources: dict[str, set[str]] = {}
    for file in verl.rglob("*.py"):
        for module, name in _IMPORT.findall(file.read_text(encoding="utf-8", errors="replace")):
            sources.setdefault(name, set()).add(module)
    return sorted(name for name, modules in sources.items() if not any(_has(trl, module, name) for module in modules))


def _has(trl: Path, module: str, name: str) -> bool:
    place = trl.joinpath(*module.split(".")[1:])
    files = [file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()]
    return any(re.search(rf"\b{name}\b", file.read_text(encoding="utf-8")) for file in files)


def _package(name: str) -> Path | None:
    """Return the folder of an installed package; a folder without `__init__.py` is none."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None
