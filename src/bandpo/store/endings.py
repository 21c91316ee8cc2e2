"""Exceptions by which code that a run calls, a reward function say, would end it as if the user had asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_quiet_end(work: str) -> Iterator[None]:
    """Make an error of SystemExit, which would end the program as done, and EOFError, which is taken for Ctrl-D.

    Args:
        work: what is going on, as the error names it.

    Raises:
        RuntimeError: one of the two was raised; it is the cause.

    >>> with no_quiet_end("training"):
    ...     raise SystemExit(0)
    Traceback (most recent call last):
    RuntimeError: training was ended from within by SystemExit(0)
    """
    try:
        yield
    except (EOFError, SystemExit) as error:
        raise RuntimeError(f"{work} was ended from within by {error!r}") from error
