"""Words of errors: what a hostile file wrote fits in a line, and a library that is missing is named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bandpo.microscope.errors import BatchError

_WIDTH = 160


def shown(value: object) -> str:
    """Return the first line of a value's text, cut short, with nothing a terminal would act on.

    >>> shown("a\\x1b[2J " + "b" * 300)
    'a?[2J bbb...bbb…'
    """
    text = str(value)[: 2 * _WIDTH].strip().partition("\n")[0]
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def printable(text: str) -> str:
    """Return a text of whole characters: JSON may hold halves of them, which no file takes.

    >>> printable("a\\ud800b")
    'a?b'
    """
    return text.encode(errors="replace").decode()


def named(names: Iterable[object], most: int = 12) -> str:
    """Return names in a row, not all where they are many.

    >>> named(["a", "b"]), named([], 3), named("abcd", 2)
    ('a, b', 'nothing', 'a, b and 2 more')
    """
    listed = [shown(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more if listed else "nothing"


def needs(package: str, path: Path) -> BatchError:
    """Return the error that says which package reads a file."""
    return BatchError(f"{path} is read with {package}, which is not installed: pip install {package}")
