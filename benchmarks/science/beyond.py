"""Search for the region that dominates, as registered in beyond.md: explore, choose, confirm on fresh seeds.

    python -m benchmarks.science.beyond [--stages 1,2,3,4] [--out FOLDER]  # what has no line yet, then tables
    python -m benchmarks.science.beyond --committed                      # tables of docs/evidence.md, in seconds

Ctrl-C keeps the stacks that are finished; the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.science import held_radius, lower_sides
from benchmarks.science.analysis import MARGIN, compare, decided, scores_of
from benchmarks.science.evidence_page import put, scores_table, tests_table
from benchmarks.science.plan import CANDIDATE, MAIN_RATE, TASKS, Cell, Record
from benchmarks.science.run import Job, read_records, run_study, study_parser

COMMITTED = Path(__file__).parents[1] / "results" / "science" / "beyond.jsonl"
REFERENCES = (
    CANDIDATE,
    "grpo",
    "clip-higher:eps_low=0.02:eps_high=1.0",
    "clip-higher:eps_low=0.02:eps_high=2.0",
)
TRIED = (
    "band-upper:eps_low=0.02",
    "band-upper:eps_low=0.1",
    "band-upper:delta=0.1:eps_low=0.05",
    "band-upper:eps_low=0.05:max_ratio=2.0",
    "band-upper:eps_low=0.02:max_ratio=2.0",
    "band-mirror",
    "band-upper-scaled:c=0.05:power=0.5",
    "band-upper-scaled:c=0.02:power=0.5",
    "band-upper-scaled:c=0.05:power=1.0",
    "band-upper-scaled:c=0.02:power=1.0",
    "band-upper-scaled:c=0.05:max_ratio=2.0:power=0.5",
)
HELD = ("band-kl-held:stopped=0.02", "band-kl-held:stopped=0.05")  # added after the other stages, see beyond.md
FIRST, SECOND, FRESH = range(6000, 6003), range(6003, 6009), range(7000, 7024)
FINALISTS = 4
CELLS = tuple(Cell(task, MAIN_RATE) for task in TASKS)


def explored(stage: int, records: Sequence[Record]) -> Iterator[Job]:
    """Yield the runs of a stage, given the records of the stages before."""
    if stage == 1:
        arms, seeds = [*REFERENCES, *TRIED], FIRST
    elif stage == 2:
        arms, seeds = [*REFERENCES, *best(records, FIRST)[:FINALISTS]], SECOND
    elif stage == 3:
        arms, seeds = [CANDIDATE, "grpo", winner(records)], FRESH
    else:
        arms, seeds = [*HELD], [*FIRST, *SECOND]
    for cell in CELLS:
        yield cell.job(arms, seeds)


def best(records: Sequence[Record], seeds: Sequence[int]) -> list[str]:
    """Return the tried arms that have a run on all of these seeds in both tasks, the best first.

    The measure is the mean of mean@32 and pass@32.
    """
    found = {}
    for arm in TRIED:
        own = [r["final"] for r in records if r["method"] == arm and r["seed"] in seeds]
        if len(own) == len(seeds) * len(CELLS):
            found[arm] = float(np.mean([(final["mean@32"] + final["pass@32"]) / 2 for final in own]))
    return sorted(found, key=lambda arm: -found[arm])


def winner(records: Sequence[Record]) -> str:
    """Return the best of the finalists over both stages.

    Raises:
        ValueError: the second stage is not finished.
    """
    chosen = best(records, [*FIRST, *SECOND])
    if len(chosen) < FINALISTS:
        raise ValueError(f"{len(chosen)} of {FINALISTS} finalists have all of their runs: expected stage 2 before 3")
    return chosen[0]


def confirmed(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the registered tests of the winner on fresh seeds."""
    first = winner(records)
    fresh = [record for record in records if record["seed"] in FRESH]
    found = []
    for cell in CELLS:
        for other in (CANDIDATE, "grpo"):
            for claim, measure, margin in (("better", "pass@32", None), ("no worse", "mean@32", MARGIN)):
                test = compare(cell, fresh, first, other, measure, margin)
                if test:
                    found.append({"claim": claim, **test})
    return decided(found)


def tables(records: Sequence[Record]) -> dict[str, str]:
    """Return the tables by the name they have on the page, those that there are runs for."""
    found = {"beyond": scores(records, [*FIRST, *SECOND])}
    if any(record["seed"] in FRESH for record in records):
        found["beyond confirmed"] = scores(records, FRESH) + "\n".join(tests_table(confirmed(records))) + "\n"
    return found


def scores(records: Sequence[Record], seeds: Sequence[int]) -> str:
    """Return the scores of every arm over some seeds, as Markdown."""
    own = [record for record in records if record["seed"] in seeds]
    lines = []
    for cell in CELLS:
        table = scores_table(scores_of(cell, own, [*REFERENCES, *TRIED, *HELD]))
        lines += [f"### {cell.task}, learning rate {cell.rate:g}", "", *table, ""]
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    own = study_parser(__doc__)
    own.add_argument("--stages", default="1,2,3,4", help="between commas")
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, choose, write; return the exit code."""
    options = parser().parse_args(arguments)
    if options.committed:
        for name, table in tables(read_records(COMMITTED)).items():
            put(name, table)
        return 0
    stages, out = options.stages.split(","), options.out / "beyond.jsonl"
    if set(stages) - set("1234"):
        return parser().error(f"--stages {options.stages}: expected of 1,2,3,4")
    try:
        for stage in sorted(map(int, stages)):
            run_study(explored(stage, read_records(out)), out, options)
        for table in tables(read_records(out)).values():
            print(table)
    except ValueError as error:
        return parser().error(f"--stages {options.stages}: {error}")
    except KeyboardInterrupt:
        print(f"stopped; finished runs are in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    return 0


# Worker processes read this file as __mp_main__.
if __name__ in ("__main__", "__mp_main__"):
    lower_sides.register()
    held_radius.register()
if __name__ == "__main__":
    sys.exit(main())
