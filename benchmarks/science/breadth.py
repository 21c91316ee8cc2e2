"""Other tasks and a larger model, as registered in breadth.md.

    python -m benchmarks.science.breadth [--out FOLDER]  # what has no line yet, then tables
    python -m benchmarks.science.breadth --committed     # tables of docs/evidence.md, in seconds

Two of the tasks are reasoning-gym's: pip install 'bandpo[science]'. Ctrl-C keeps the stacks that are finished; the same
command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.science import plan
from benchmarks.science.analysis import analyse
from benchmarks.science.evidence_page import put, summary, tables
from benchmarks.science.plan import BLOCK, MAIN_RATE, OPEN, TEST_SEEDS, Cell, Record
from benchmarks.science.run import Job, read_records, run_study, study_parser

COMMITTED = Path(__file__).parents[1] / "results" / "science" / "breadth.jsonl"
PAIRS = tuple(product((0.02, 0.05, 0.2), (0.28, 1.0, OPEN)))
CELLS = (
    Cell("first-move", MAIN_RATE, starts=("first-move-1", "first-move-2", "first-move-3")),
    Cell("quantum-lock", MAIN_RATE, starts=("quantum-lock-1", "quantum-lock-2", "quantum-lock-3")),
    Cell("shortest-path", MAIN_RATE, starts=("shortest-path-1", "shortest-path-2", "shortest-path-3")),
    Cell("countdown", MAIN_RATE, starts=("countdown-wide-1", "countdown-wide-2"), about="350,000 parameters"),
)
HALVES = (TEST_SEEDS[:12], TEST_SEEDS[12:])


def test_runs(tuning: Sequence[Record], seeds: Sequence[int]) -> Iterator[Job]:
    """Yield the test runs of all cells on some seeds, all arms of a few before the next."""
    for cell in CELLS:
        for start in range(0, len(seeds), BLOCK):
            yield cell.job(plan.arms(cell, tuning), seeds[start : start + BLOCK])


def found(records: Sequence[Record]) -> dict[str, Any]:
    """Return the analysis of the test runs among all runs."""
    return analyse([record for record in records if record["seed"] in TEST_SEEDS], records, CELLS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune, test, write; return the exit code."""
    options = study_parser(__doc__).parse_args(arguments)
    if options.committed:
        for name, table in tables(found(read_records(COMMITTED))).items():
            put(f"breadth {name}", table)
        return 0
    out = options.out / "breadth.jsonl"
    try:
        run_study(plan.first_tuning(CELLS, PAIRS), out, options)
        run_study(plan.second_tuning(read_records(out), CELLS), out, options)
        for seeds in HALVES:
            run_study(test_runs(read_records(out), seeds), out, options)
    except KeyboardInterrupt:
        print(f"stopped; finished runs are in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    print(summary(found(read_records(out))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
