"""Run what registration.md asks for, and write the tables of docs/evidence.md.

    python -m benchmarks.science.evidence [--tune] [--rates 1e-4] [--out FOLDER]   # what has no line yet, then tables
    python -m benchmarks.science.evidence --committed       # the page's tables from the committed runs, in seconds
    python -m benchmarks.science.evidence --smoke           # the same path in minutes, on short runs

What a run leaves in its folder, copied to benchmarks/results/science, is what --committed reads. Tuned pairs are read
from the committed tuning runs; --tune runs those too. Ctrl-C keeps the stacks that are finished.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bandpo.speed.report import machine
from bandpo.views.specs import parse_specs
from benchmarks.science import figures, mechanism, plan
from benchmarks.science.analysis import analyse
from benchmarks.science.evidence_page import README, overview, put, summary, write_page
from benchmarks.science.run import Job, read_records, run_study, study_parser

RESULTS = Path(__file__).parents[1] / "results"
COMMITTED = RESULTS / "science"
ANALYSIS = RESULTS / "evidence.json"
SMOKE = [plan.Cell(task, plan.MAIN_RATE, updates=80, evaluate_every=5) for task in plan.TASKS]


def smoke_jobs() -> list[Job]:
    """Return runs of a few rollouts: the main arms on one seed a warm start."""
    return [cell.job(plan.MAIN, plan.TEST_SEEDS[:3]) for cell in SMOKE]


def rebuild() -> int:
    """Write analysis, tables and figures from the committed runs; return the exit code."""
    tuning, test = (read_records(COMMITTED / f"{name}.jsonl") for name in ("tuning", "test"))
    about = json.loads((COMMITTED / "about.json").read_text(encoding="utf-8"))
    found = {**about, **analyse(test, tuning)}
    ANALYSIS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    write_page(found)
    put("overview", overview(found), README)
    for cell in plan.cells_at(plan.MAIN_RATE):
        if cell.records(test):
            figures.draw(cell, test, tuning)
    put("speed", mechanism.table(parse_specs(mechanism.REGIONS)))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    own = study_parser(__doc__)
    own.add_argument("--rates", default=",".join(map(str, plan.RATES)), help="learning rates between commas")
    own.add_argument("--tune", action="store_true", help="run the tuning too, instead of reading the committed one")
    own.add_argument("--smoke", action="store_true", help="a few rollouts of the main arms; prints tables, no page")
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, analyse, write; return the exit code."""
    options = parser().parse_args(arguments)
    rates = [float(rate) for rate in options.rates.split(",")]
    if unknown := set(rates) - set(plan.RATES):
        return parser().error(f"--rates {options.rates}: {min(unknown):g} is not registered, expected of {plan.RATES}")
    began = time.monotonic()
    if options.committed:
        return rebuild()
    try:
        if options.smoke:
            out = options.out / "smoke.jsonl"
            run_study(smoke_jobs(), out, options)
            print(summary(analyse(read_records(out), [], SMOKE)))
            return 0
        tuning_file = (options.out if options.tune else COMMITTED) / "tuning.jsonl"
        test_file = options.out / "test.jsonl"
        if options.tune:
            run_study(plan.first_tuning(plan.cells_at(plan.MAIN_RATE)), tuning_file, options)
        for rate in rates:
            if options.tune:
                run_study(plan.second_tuning(read_records(tuning_file), plan.cells_at(rate)), tuning_file, options)
            run_study(plan.confirmation(read_records(tuning_file), plan.cells_at(rate)), test_file, options)
    except ValueError as error:
        return parser().error(f"--rates {options.rates}: {error} (--tune)")
    except KeyboardInterrupt:
        print(f"stopped; finished runs are in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    about = {
        "command": f"python -m benchmarks.science.evidence {' '.join(sys.argv[1:])}",
        "minutes": round((time.monotonic() - began) / 60, 1),
        "machine": machine(options.device, 1),
    }
    (options.out / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(summary(analyse(read_records(test_file), read_records(tuning_file))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
