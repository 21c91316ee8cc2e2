"""Other tasks and a larger model, as registered in breadth.md.

    python -m benchmarks.science.breadth [--out FOLDER]  # what has no line yet, then tables
    python -m benchmarks.science.breadth --committed     # tables of docs/evidence.md, in seconds

Two of the tasks are reasoning-gym's: pip install 'bandpo[science]'. Ctrl-C keeps the stacks that are finished; the same
command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.science.analysis import analyse
from benchmarks.science.evidence_page import put, summary, tables
from benchmarks.science.plan import BLOCK, MAIN, MAIN_RATE, TEST_SEEDS, Cell, Record, pair_spec
from benchmarks.science.run import Job, read_records, run_study, study_parser

COMMITTED = Path(__file__).parents[1] / "results" / "science" / "breadth.jsonl"
UPDATES = 800
PAIR = pair_spec((0.02, 1.0))  # what tuning chose for `countdown`


def _cell(task: str, starts: Sequence[str], about: str = "") -> Cell:
    return Cell(task, MAIN_RATE, UPDATES, starts=tuple(starts), about=about, pair=PAIR)


CELLS = (
    _cell("first-move", ("first-move-1", "first-move-2", "first-move-3")),
    _cell("quantum-lock", ("quantum-lock-1", "quantum-lock-2", "quantum-lock-3")),
    _cell("countdown", ("countdown-wide-1", "countdown-wide-2"), about="350,000 parameters"),
    _cell("shortest-path", ("shortest-path-1", "shortest-path-2", "shortest-path-3")),
)


def jobs() -> Iterator[Job]:
    """Yield the runs of all cells, all arms of a few seeds in every cell before the next seeds."""
    for start in range(0, len(TEST_SEEDS), BLOCK):
        for cell in CELLS:
            yield cell.job([*MAIN, PAIR], TEST_SEEDS[start : start + BLOCK])


def found(records: Sequence[Record]) -> dict[str, Any]:
    """Return the analysis of the seeds that all arms of a cell have."""
    kept = []
    for cell in CELLS:
        own = cell.records(records)
        of_arm = [{record["seed"] for record in own if record["method"] == arm} for arm in (*MAIN, PAIR)]
        kept += [record for record in own if record["seed"] in set.intersection(*of_arm)]
    return analyse(kept, [], CELLS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, analyse, write; return the exit code."""
    options = study_parser(__doc__).parse_args(arguments)
    if options.committed:
        for name, table in tables(found(read_records(COMMITTED))).items():
            put(f"breadth {name}", table)
        return 0
    out = options.out / "breadth.jsonl"
    try:
        run_study(jobs(), out, options)
    except KeyboardInterrupt:
        print(f"stopped; finished runs are in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    print(summary(found(read_records(out))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
