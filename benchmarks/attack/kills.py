"""SIGKILL at random moments, again and again over the life of one run; then it must end as an unbroken one."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.attack import results
from benchmarks.attack.judge import Ended, unclean
from benchmarks.attack.lane import Lane, share
from benchmarks.attack.outcome import Outcome
from benchmarks.attack.processes import end_all, left_behind

LIMIT_SECONDS = 240.0
_KILLS_A_CHAIN = 5


@dataclass(frozen=True)
class Target:
    """A command to kill.

    Attributes:
        kind: the row of the table.
        command: "train", "eval" or "compare": how its results are read.
        argv: its arguments; it works in the folder `run`.
        files: path -> content, written before.
    """

    kind: str
    command: str
    argv: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)

    def prepare(self, place: Path) -> None:
        """Make the folder in which the command is typed."""
        place.mkdir(parents=True)
        for name, content in self.files.items():
            (place / name).write_text(content, encoding="utf-8")


@dataclass(frozen=True)
class Unbroken:
    """The command when nothing disturbs it: its results, seconds and how often its folder changed."""

    results: results.Results
    seconds: float
    changes: int


def unbroken(target: Target, lane: Lane, place: Path) -> Unbroken:
    """Run the command to its end and watch its folder.

    Raises:
        RuntimeError: it failed.
    """
    target.prepare(place)
    lane.start(target.argv, place)
    changes = sum(1 for _ in _changes(lane, place / "run"))
    ended = lane.wait(LIMIT_SECONDS)
    if ended.code != 0:
        raise RuntimeError(f"{target.kind} failed before any attack: {ended.last_line}")
    return Unbroken(results.OF[target.command](place / "run"), ended.seconds, changes)


def chain(target: Target, whole: Unbroken, place: Path, seed: str) -> Callable[[Lane], list[Outcome]]:
    """A job: start, kill, start again, kill ..., then to the end; one outcome for each kill that met a living command.

    Half of the kills come after a random time, half at a random change of the run's folder.
    """

    def job(lane: Lane) -> list[Outcome]:
        draw = random.Random(seed)
        target.prepare(place)
        kills: list[Outcome] = []
        ended = None
        while ended is None and len(kills) < _KILLS_A_CHAIN:
            lane.start(target.argv, place)
            moment = wait_for_moment(lane, place / "run", whole, draw)
            ended = killed(lane)
            if ended is None:
                name = f"{seed}, kill {len(kills) + 1}, {moment}, {state(place / 'run')}"
                kills.append(Outcome(target.kind, name, orphans(place), 137))
                if (place / "run" / "result.json").exists():
                    break
        else:
            ended = ended or lane.run(target.argv, place, LIMIT_SECONDS)
        return [verdict(target, whole, place, ended, kill) for kill in kills]

    return job


def wait_for_moment(lane: Lane, folder: Path, whole: Unbroken, draw: random.Random) -> str:
    """Wait for a random time or a random change of the folder, or the command's end; say which."""
    if draw.random() < 0.5:
        seconds = draw.uniform(0.0, whole.seconds)
        while lane.is_running() and time.monotonic() - lane.started < seconds:
            time.sleep(0.002)
        return f"after {seconds:.2f} s"
    number = draw.randint(1, max(1, whole.changes))
    for count, _ in enumerate(_changes(lane, folder), start=1):
        if count == number:
            break
    return f"at change {number} of the folder"


def killed(lane: Lane) -> Ended | None:
    """Kill the command; how it ended where it was faster."""
    if lane.is_running():
        lane.kill()
    ended = lane.wait(LIMIT_SECONDS)
    return None if ended.code == -signal.SIGKILL else ended


def state(folder: Path) -> str:
    """How far a run, or the runs of a comparison, had come, by what is in the folder."""
    for name in ("result.json", "model", "checkpoint-*", "config.yaml"):
        found = sorted(path.name for path in folder.rglob(name))
        if found:
            return f"{found[-1]} there"
    return "not begun"


def verdict(target: Target, whole: Unbroken, place: Path, ended: Ended | None, kill: Outcome) -> Outcome:
    """The kill's outcome, now that it is known how the last start of its chain ended; None: it was done."""
    failed = kill.failure
    if failed is None and ended is not None and ended.code != 0:
        failed = unclean(ended) or f"not resumed: {ended.last_line:.300}"
    if failed is None:
        changed = results.difference(whole.results, results.OF[target.command](place / "run"))
        failed = changed and f"ended, but {changed}"
    again = "bandpo " + " ".join(target.argv)
    return kill.with_failure(failed, f"{again} & sleep S; kill -9 $!; {again}")


def orphans(place: Path) -> str | None:
    """What still works in the folder some seconds after the kill, as a sentence; it is ended then."""
    left = left_behind(place)
    if not left:
        return None
    end_all(place)
    return f"{len(left)} processes go on: {'; '.join(sorted(set(left.values())))[:300]}"


def _changes(lane: Lane, folder: Path) -> Iterator[None]:
    """Yield at every change of names or sizes in the folder while the command runs."""
    before = _snapshot(folder)
    while lane.is_running():
        now = _snapshot(folder)
        if now != before:
            yield
        before = now
        time.sleep(0.001)


def _snapshot(folder: Path) -> frozenset[tuple[str, int]]:
    found = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                found.add((path, os.stat(path).st_size))
    return frozenset(found)


def until_enough(
    target: Target,
    whole: Unbroken,
    place: Path,
    seed: str,
    wanted: int,
    lanes: list[Lane],
    until: float,
    make: Callable[[Target, Unbroken, Path, str], Callable[[Lane], list[Outcome]]] = chain,
) -> Iterator[Outcome]:
    """The outcomes of chain after chain until so many kills have met a living command."""
    met = 0

    def jobs() -> Iterator[Callable[[Lane], list[Outcome]]]:
        for number in range(20 * wanted):
            if met >= wanted:
                return
            yield make(target, whole, place / f"chain-{number}", f"{seed}, chain {number}")

    for outcomes in share(jobs(), lanes, until):
        met += len(outcomes)
        yield from outcomes
