"""Every bad input through the command line: refused in a sentence, in time, and nothing of the user's is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.attack.case import Case
from benchmarks.attack.judge import failure
from benchmarks.attack.lane import Lane
from benchmarks.attack.outcome import Outcome

LIMIT_SECONDS = 30.0


def jobs(cases: Iterable[Case], place: Path) -> Iterator[Callable[[Lane], Outcome]]:
    """A job for every case."""
    for number, case in enumerate(cases):
        yield attack(case, place / f"case-{number}")


def attack(case: Case, place: Path) -> Callable[[Lane], Outcome]:
    """A job: write the files, type the command, judge how it ends and what is left."""

    def job(lane: Lane) -> Outcome:
        for name, content in case.files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        ended = lane.run(case.argv, place, LIMIT_SECONDS, env={"HOME": str(place), **case.env}, setup=case.setup)
        wrong = lost(case, place) or failure(case, ended)
        shutil.rmtree(place)
        return Outcome(case.kind, case.name, wrong, ended.code, case.repro(), ended.seconds, ended.last_line)

    return job


def lost(case: Case, place: Path) -> str | None:
    """Which file that had to be kept is gone or changed, None for none."""
    for name in case.keeps:
        content = case.files[name]
        path = place / name
        if not path.is_file() or path.read_bytes() != (content.encode() if isinstance(content, str) else content):
            return f"{name} is lost"
    return None
