"""Damaged checkpoints and run files: the same result, or a sentence that names the file; never another model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack import damage, results
from benchmarks.attack.judge import Ended, unclean, unclear
from benchmarks.attack.lane import Lane
from benchmarks.attack.outcome import Outcome

LIMIT_SECONDS = 120.0
Job = Callable[[Lane], Outcome]


@dataclass(frozen=True)
class Stage:
    """A folder at some stage, a command on it, and what comes of it undamaged.

    Attributes:
        kind: the row of the table.
        made: how it came to this stage, as a shell line.
        folder: where the command is typed; copied for every attack.
        argv: the command.
        read: (folder, how the command ended) -> what must come out the same.
        expected: that, of the undamaged folder.
        files: what is damaged, and how; in every way that fits where None.
    """

    kind: str
    made: str
    folder: Path
    argv: tuple[str, ...]
    read: Callable[[Path, Ended], results.Results]
    expected: results.Results
    files: Mapping[Path, tuple[str, ...] | None]


def attacks(stage: Stage, place: Path) -> Iterator[Job]:
    """A job for every file of the stage with every damage that fits it."""
    for file, chosen in stage.files.items():
        for name, how in damage.fitting(stage.folder / file).items():
            if chosen is None or name in chosen:
                yield attack(stage, place / re.sub(r"\W+", "-", f"{stage.kind}-{file}-{name}"), file, name, how)


def attack(stage: Stage, place: Path, file: Path, name: str, how: damage.Damage) -> Job:
    """A job: copy the stage to `place`, damage the file, type the command, judge."""

    def job(lane: Lane) -> Outcome:
        shutil.copytree(stage.folder, place)
        damage.apply(how, place / file)
        says_too = (file.parent.name,) if is_no_sign(file, name) else ()
        ended = lane.run(stage.argv, place, LIMIT_SECONDS)
        found = stage.read(place, ended) if ended.code == 0 else {}
        failure = judge(ended, file, stage.expected, found, says_too)
        shutil.rmtree(place)
        repro = f"{stage.made}; {damage.repro(file, name)}; bandpo {' '.join(stage.argv)}"
        return Outcome(stage.kind, f"{file}: {name}", failure, ended.code, repro, ended.seconds, ended.last_line)

    return job


def is_no_sign(file: Path, name: str) -> bool:
    """Whether nothing shows that it is this file which was damaged, so that a sentence may name the folder instead.

    A file that is gone; a configuration that is still one, or as empty as that of another program may be.
    """
    return name == "missing" or (file.name == "config.yaml" and name in ("empty", "null", "cut in half"))


def judge(
    ended: Ended, file: Path, expected: results.Results, found: results.Results, also: tuple[str, ...] = ()
) -> str | None:
    """What is wrong with how the command took the damage, None for nothing; a sentence may name `also` instead."""
    broken = unclean(ended)
    if broken:
        return broken
    if ended.code == 0:
        changed = results.difference(expected, found)
        return changed and f"exit code 0, but {changed}"
    checkpoint = (file.parent.name,) if file.parent.name.startswith("checkpoint-") else ()
    return unclear(ended, (file.name, *checkpoint, *also))
