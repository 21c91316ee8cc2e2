"""Whether a stream can show a region that is drawn anew in place."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

NARROWEST, LOWEST = 80, 12


def can_show(console: Console, environment: Mapping[str, str]) -> bool:
    """Return whether a live view fits on this console; a bar or lines of a log serve elsewhere.

    It does not where the stream is no terminal, the terminal is dumb or too small, NO_COLOR asks for plain output, or
    CI says that a log is kept of it.

    >>> import io
    >>> can_show(Console(file=io.StringIO()), {"TERM": "xterm"})
    False
    """
    if not console.file.isatty() or not console.is_terminal or console.legacy_windows:
        return False
    if environment.get("TERM", "dumb" if not console.color_system else "") in ("dumb", "unknown"):
        return False
    if environment.get("NO_COLOR") or environment.get("CI", "").lower() not in ("", "0", "false"):
        return False
    return console.width >= NARROWEST and console.height >= LOWEST
