"""JSON as runs write it, and JSON lines as a kill or a damaged disk leaves them."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NoReturn

# Control characters, marks that turn the direction of text, and halves of characters.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def to_json(value: Any, indent: int | None = None) -> str:
    """Return a value as strict JSON: NaN and infinities are null, NumPy and one-element torch numbers are numbers.

    >>> to_json({"loss": float("nan"), "step": 3})
    '{"loss": null, "step": 3}'
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


def parse_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: not UTF-8, not strict JSON, or another value than an object; says which.

    >>> parse_object(b'{"step": 3}')
    {'step': 3}
    """
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON" if text.strip() else "empty") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _refuse(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


def read_records(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """Return the objects of a JSON-lines file, and the numbers of the lines that are damaged, from 1.

    A last line without its line break that is no object was cut short by a kill, and is neither. A file that is not
    there has no lines.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> _ = path.write_text('{"step": 1}\\n[]\\n{"step": 3}\\n{"st')
    >>> read_records(path)
    ([{'step': 1}, {'step': 3}], [2])
    """
    *lines, last = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    records, damaged = [], []
    for number, line in enumerate([*lines, last], start=1):
        if not line.strip():
            continue
        try:
            records.append(parse_object(line))
        except ValueError:
            if number <= len(lines):
                damaged.append(number)
    return records, damaged


def printable(text: str) -> str:
    """Return the text with escapes for what would steer a terminal or hide in a file.

    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(_escaped(c) if unicodedata.category(c) in _UNPRINTABLE else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
