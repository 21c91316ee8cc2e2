"""The files of one recorded step, one a process: `step_00010_rank_00001_of_00002.safetensors`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bandpo.microscope.file import SUFFIX

_PART = re.compile(rf"(step_\d+)_rank_\d+_of_(\d+){re.escape(SUFFIX)}")


def part_name(step: int, rank: int = 0, processes: int = 1) -> str:
    """Return the name of the file that a process writes.

    >>> part_name(10), part_name(10, 1, 2)
    ('step_00010.safetensors', 'step_00010_rank_00001_of_00002.safetensors')
    """
    of_process = f"_rank_{rank:05d}_of_{processes:05d}" if processes > 1 else ""
    return f"step_{step:05d}{of_process}{SUFFIX}"


def processes_of(file: Path) -> int:
    """Return how many processes wrote the step that a file is a part of; 1 for any other file.

    >>> processes_of(Path(part_name(10, 1, 2))), processes_of(Path("step_3.npz"))
    (2, 1)
    """
    found = _PART.fullmatch(file.name)
    return int(found[2]) if found else 1


def by_step(files: Iterable[Path]) -> list[list[Path]]:
    """Return the files, those of one step together, in the order in which the first of each comes.

    >>> files = [Path(part_name(step, rank, 2)) for rank in (0, 1) for step in (0, 10)] + [Path("a.npz")]
    >>> [len(step) for step in by_step(files)]
    [2, 2, 1]
    """
    steps: dict[object, list[Path]] = {}
    for file in files:
        found = _PART.fullmatch(file.name)
        key = (file.parent, found[1], found[2]) if found else file
        together = steps.setdefault(key, [])
        if file not in together or not found:
            together.append(file)
    return list(steps.values())
