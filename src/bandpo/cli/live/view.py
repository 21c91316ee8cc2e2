"""The live view of a run: the screen, drawn anew in place as training goes on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live

from bandpo.cli.console import remarks
from bandpo.cli.live.above import heard_warnings, printed_above
from bandpo.cli.live.screen import Screen
from bandpo.engines.common.findings import FindingWarning
from bandpo.runs.training import RunView

_SECONDS = 1.0


class LiveView(RunView):
    """Shows a run on a terminal, on standard error; what else is printed goes above.

    It is drawn by the trainer's own callbacks, at most once a second: no thread holds a lock while a reward function
    forks. The cursor stays, so that a killed run leaves the terminal as it was. A terminal that is gone ends the view,
    not the run.

    Args:
        title: of the run.
        console: to draw on.
    """

    def __init__(self, title: str, console: Console = remarks):
        self._screen, self._console = Screen(title), console
        self._live: Live | None = None
        self._process, self._drawn = os.getpid(), -_SECONDS
        self._around = contextlib.ExitStack()

    def __enter__(self) -> LiveView:
        self._live = Live(
            self._screen,
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        with self._unless_gone():
            self._around.enter_context(printed_above(self._console))
            self._around.enter_context(heard_warnings(FindingWarning, self._screen.notice))
            self._live.start()
            self._console.show_cursor(True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            with self._unless_gone():
                self._live.stop()
        self._around.close()

    def on_train_begin(self, args, state, control, **_):
        """Start the clock."""
        self._screen.begin(state.global_step, state.max_steps)
        self._draw(now=True)

    def on_step_end(self, args, state, control, **_):
        """Show the update."""
        self._screen.move(state.global_step)
        self._draw()

    def on_log(self, args, state, control, logs=None, **_):
        """Show the metrics."""
        self._screen.log(logs or {})
        self._draw()

    def evaluated(self, scores: Mapping[str, Any]) -> None:
        """Show the scores."""
        self._screen.evaluated(scores)
        self._draw(now=True)

    def _draw(self, now: bool = False) -> None:
        is_due = now or time.monotonic() - self._drawn >= _SECONDS
        if self._live is None or not is_due or os.getpid() != self._process:
            return
        with self._unless_gone():
            self._live.refresh()
        self._drawn = time.monotonic()

    @contextlib.contextmanager
    def _unless_gone(self):
        """Give the view up where the terminal cannot be written to."""
        try:
            yield
        except OSError:
            self._live = None
