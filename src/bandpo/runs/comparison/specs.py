"""The methods and seeds of a comparison, and where each run is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bandpo.store.folder import RunFolder
from bandpo.views.specs import Spec, parse_specs

__all__ = ["Spec", "parse_seeds", "parse_specs", "run_folder"]

_MOST_SEEDS = 10_000


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a count, a range or a list.

    Raises:
        ValueError: none of the three, or more than 10,000.

    >>> parse_seeds("3"), parse_seeds("100-102"), parse_seeds("7,9")
    ([0, 1, 2], [100, 101, 102], [7, 9])
    """
    try:
        seeds: Sequence[int]
        if "," in text:
            seeds = [int(part) for part in text.split(",") if part.strip()]
        elif "-" in text:
            first, last = map(int, text.split("-"))
            seeds = range(first, last + 1)
        else:
            seeds = range(int(text))
    except ValueError:
        seeds = []
    if len(seeds[: _MOST_SEEDS + 1]) > _MOST_SEEDS:
        raise ValueError(f"--seeds {text}: expected {_MOST_SEEDS:,} seeds at most")
    if not seeds or len(set(seeds)) < len(seeds) or not 0 <= min(seeds) <= max(seeds) < 2**32:
        raise ValueError(f"--seeds {text!r}: expected a count (5), a range (100-109) or a list (1,2,5)")
    return list(seeds)


def run_folder(out: Path, spec: Spec, seed: int) -> RunFolder:
    """Return where a method's run with this seed is in the folder of a comparison.

    >>> run_folder(Path("out"), Spec("grpo", "grpo"), 3).path.as_posix()
    'out/grpo/seed-3'
    """
    return RunFolder(out / spec.folder_name / f"seed-{seed}")
