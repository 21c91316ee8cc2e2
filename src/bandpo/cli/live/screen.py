"""What the live view shows: progress, the metrics people watch, what was stopped at which probability, scores."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bandpo.cli.live.series import ASCII_BLOCKS, BLOCKS, Series, sparkline
from bandpo.core.objective.metrics import bucket_names

_WIDTH, _CURVE, _SMALL_CURVE, _LONGEST_NOTICE = 100, 36, 12, 240
_ROWS_WITH_BUCKETS = 20
# From this mean |log r| of first uses on, their log-probs do not agree; rounding in fp32 is far below.
_LARGE = 1e-3


class Screen:
    """The state of a run as one renderable; `clock` gives seconds.

    >>> screen = Screen("band-kl on countdown", clock=lambda: 0.0)
    >>> screen.begin(0, 10); screen.log({"reward": 0.5}); screen.move(5)
    >>> Console(width=80, height=30).print(screen)  # doctest: +SKIP
    """

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic):
        self._title, self._clock = title, clock
        self._first = self._step = self._steps = 0
        self._began = clock()
        self._series: defaultdict[str, Series] = defaultdict(Series)
        self._evaluations: list[Mapping[str, Any]] = []
        self._notice = ""

    def begin(self, step: int, steps: int) -> None:
        """Start counting time: `step` updates of `steps` are done already."""
        self._first = self._step = step
        self._steps, self._began = steps, self._clock()

    def move(self, step: int) -> None:
        """Say that `step` updates are done."""
        self._step = step

    def log(self, logs: Mapping[str, Any]) -> None:
        """Count what the trainer logged."""
        for name, value in logs.items():
            if name in ("reward", "entropy") or name.startswith("band/"):
                self._series[name].add(value)

    def evaluated(self, scores: Mapping[str, Any]) -> None:
        """Count scores on the held-out problems; of all, the first and the newest are shown."""
        self._evaluations = [*self._evaluations[:1], scores]

    def notice(self, text: str) -> None:
        """Keep a warning in sight."""
        self._notice = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        blocks = ASCII_BLOCKS if options.ascii_only or console.legacy_windows else BLOCKS
        width = min(options.max_width, _WIDTH)
        yield self._progress(width)
        yield self._curves(blocks)
        if console.height >= _ROWS_WITH_BUCKETS and self._stopped_names():
            yield self._stopped(blocks)
        yield from map(Text, self._scores())
        if self._notice:
            yield Text(f"warning: {self._notice[:_LONGEST_NOTICE]}", style="yellow")

    def _progress(self, width: int) -> Table:
        seconds, done = self._clock() - self._began, self._step - self._first
        left = f", {duration(seconds / done * (self._steps - self._step))} left" if done else ""
        text = f"{self._step} of {self._steps} updates, {duration(seconds)} gone{left}" if self._steps else "starting"
        title = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        row = Table.grid(padding=(0, 2))
        row.add_column(max_width=max(width - len(text) - 16, 10))
        row.add_column(no_wrap=True)
        row.add_column(no_wrap=True)
        room = max(width - title.cell_len - len(text) - 6, 8)
        row.add_row(title, ProgressBar(max(self._steps, 1), self._step, width=room), Text(text))
        return row

    def _curves(self, blocks: str) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, label, write, floor in (
            ("reward", "reward", number, None),
            ("entropy", "entropy", number, None),
            ("band/clip", "stopped", percent, 0.0),
        ):
            series = self._series[name]
            curve = sparkline(series.columns(_CURVE), blocks, floor=floor)
            ends = "" if series.lowest is None else f"{write(series.lowest)} to {write(series.highest)}"
            table.add_row(label, Text(write(series.last)), Text(curve.ljust(_CURVE), style="cyan"), Text(ends))
        first_use = self._series["band/first_ratio_error"].last
        if first_use is not None:
            agrees = first_use < _LARGE
            verdict = "old and new log-probs agree" if agrees else "old and new log-probs differ where they must not"
            table.add_row("first use", f"{first_use:.1e}", Text(verdict, style="" if agrees else "yellow"))
        return table

    def _stopped_names(self) -> list[str]:
        return [bucket for bucket in bucket_names() if f"band/clip_high/{bucket}" in self._series]

    def _stopped(self, blocks: str) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("stopped at")
        for side in ("good tokens", "bad tokens"):
            table.add_column("", justify="right", no_wrap=True)
            table.add_column(side, min_width=_SMALL_CURVE)
            table.add_column("of", justify="right", no_wrap=True)
        for bucket in self._stopped_names():
            sides = (self._side(f"band/clip_{side}/{bucket}", blocks) for side in ("high", "low"))
            table.add_row(bucket, *(cell for side in sides for cell in side))
        return table

    def _side(self, name: str, blocks: str) -> list[Text]:
        share, tokens = self._series[name], self._series[f"{name}/tokens"].last
        curve = sparkline(share.columns(_SMALL_CURVE), blocks, floor=0.0)
        shown = percent(share.last if tokens else None)
        return [Text(shown), Text(curve, style="cyan"), Text("" if tokens is None else f"{tokens:,.0f}", style="dim")]

    def _scores(self) -> Iterable[str]:
        if not self._evaluations:
            return
        first, last = self._evaluations[0], self._evaluations[-1]
        scores = [
            f"{name} {number(value)}" + (f" (from {number(first.get(name))})" if first is not last else "")
            for name, value in last.items()
            if "@" in name
        ]
        yield f"held-out problems at update {last.get('step')}: {', '.join(scores)}"


def number(value: object) -> str:
    """Return a metric for people, an en dash where there is none.

    >>> number(0.5), number(None)
    ('0.500', '–')
    """
    return f"{value:.3f}" if isinstance(value, (int, float)) and math.isfinite(value) else "–"


def percent(value: float | None) -> str:
    """Return a share in percent.

    >>> percent(0.0123), percent(None)
    ('1.23 %', '–')
    """
    return "–" if value is None else f"{100 * value:.2f} %"


def duration(seconds: float) -> str:
    """Return a time span.

    >>> duration(59.6), duration(3725), duration(200_000)
    ('1:00', '1:02:05', '55:33:20')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
