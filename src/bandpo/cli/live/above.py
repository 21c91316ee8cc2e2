"""What a program prints while a region is drawn in place: it goes above the region, whole lines at a time."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from bandpo.cli.console import visible

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


class Above(io.TextIOBase):
    """A stream whose lines are printed by a console, in their colours; other escape sequences are shown, not sent.

    A process that was forked while it stands in for a stream writes to the stream itself.

    >>> import io
    >>> stream = io.StringIO()
    >>> _ = Above(Console(file=stream), stream).write("[one]\\ntwo"); stream.getvalue()
    '[one]\\n'
    """

    def __init__(self, console: Console, stream: TextIO):
        self._console, self._stream, self._process = console, stream, os.getpid()
        self._begun, self._lock = "", threading.RLock()

    @property
    def rich_proxied_file(self) -> TextIO:
        """Return the stream, which consoles of rich write to in its place."""
        return self._stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Print the lines that are whole by now."""
        if os.getpid() != self._process:
            return self._stream.write(text)
        with self._lock:
            *lines, begun = (self._begun + text).split("\n")
            self._begun = begun[:-1].rpartition("\r")[2] + begun[-1:]
            if lines:
                self._print(lines)
        return len(text)

    def finish(self) -> None:
        """Print the line that was begun."""
        with self._lock:
            begun, self._begun = self._begun, ""
            if begun:
                self._print([begun])

    def _print(self, lines: list[str]) -> None:
        self._console.print(Text("\n").join(map(_as_text, lines)), soft_wrap=True)

    def flush(self) -> None:
        """Leave the line that was begun until it is whole."""

    def fileno(self) -> int:
        """Return the stream's."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return what the stream does."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the stream's."""
        return self._stream.encoding


def _as_text(line: str) -> Text:
    """Return a line in its colours; of one that was written over, as bars are, what was to be seen last."""
    seen = line.rstrip("\r").rpartition("\r")[2]
    parts = _COLOUR.split(seen)
    return Text.from_ansi("".join(part if _COLOUR.fullmatch(part) else visible(part) for part in parts))


@contextlib.contextmanager
def printed_above(console: Console) -> Iterator[None]:
    """Have standard error, standard output where it is a terminal too, and log lines printed by this console."""
    streams = {"stderr": sys.stderr} | ({"stdout": sys.stdout} if sys.stdout.isatty() else {})
    above = {name: Above(console, stream) for name, stream in streams.items()}
    handlers = [
        (handler, stream, above[name])
        for handler in _stream_handlers()
        for name, stream in streams.items()
        if handler.stream is stream
    ]
    try:
        for name, proxy in above.items():
            setattr(sys, name, proxy)
        for handler, _, proxy in handlers:
            handler.setStream(proxy)
        yield
    finally:
        for handler, stream, _ in handlers:
            handler.setStream(stream)
        for name, proxy in above.items():
            if getattr(sys, name) is proxy:
                setattr(sys, name, streams[name])
            proxy.finish()


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    # One that looks its stream up whenever it writes has no such attribute of its own.
    return [h for h in handlers if isinstance(h, logging.StreamHandler) and "stream" in vars(h)]


@contextlib.contextmanager
def heard_warnings(kind: type[Warning], hear: Callable[[str], None]) -> Iterator[None]:
    """Call `hear` with the text of every warning of a kind, which is shown as ever."""
    show = warnings.showwarning

    def showwarning(message: Warning | str, category: type[Warning], *others: Any, **named: Any) -> None:
        if issubclass(category, kind):
            hear(str(message))
        show(message, category, *others, **named)

    warnings.showwarning = showwarning
    try:
        yield
    finally:
        if warnings.showwarning is showwarning:
            warnings.showwarning = show
