"""Progress of long work: a bar on a terminal, and elsewhere a line a minute that a log can keep."""

from __future__ import annotations

import time
from typing import Any

from tqdm import tqdm

_SECONDS = 60.0


class Bar(tqdm):
    """tqdm's bar; where its stream is no terminal, a line a minute and one at the end, without carriage returns.

    >>> import io
    >>> stream = io.StringIO()
    >>> with Bar(total=4, file=stream, desc="runs") as bar:
    ...     _ = bar.update(4)
    >>> stream.getvalue().count("\\r"), stream.getvalue().count("\\n"), "4/4" in stream.getvalue()
    (0, 1, True)
    """

    def __init__(self, *given: Any, **named: Any):
        self._told = time.monotonic()
        super().__init__(*given, **named)

    def _is_terminal(self) -> bool:
        return not getattr(self.fp, "closed", False) and bool(getattr(self.fp, "isatty", bool)())

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        if self._is_terminal():
            return super().display(msg, pos)
        if time.monotonic() - self._told >= _SECONDS:
            self._tell()
        return True

    def close(self) -> None:
        if not self.disable and not self._is_terminal() and not getattr(self.fp, "closed", False):
            self._tell()
            self.disable = True
            self._decr_instances(self)  # pyright: ignore[reportAttributeAccessIssue]
        super().close()

    def _tell(self) -> None:
        self._told = time.monotonic()
        self.fp.write(f"{self}\n")
        self.fp.flush()
