"""The command line: parts one after another, progress on the screen, results written as they come."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.attack import bad_inputs, report
from benchmarks.attack.inputs import all_cases
from benchmarks.attack.lane import Lane
from benchmarks.attack.outcome import Outcome, count
from benchmarks.attack.parts import PARTS, Part, Setting

_WRITE_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts; exit code 1 where an attack was not survived."""
    options = _options().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bandpo-attack-") as place:
        lanes = [Lane() for _ in range(options.lanes)]
        try:
            if options.case:
                failed = show_cases(options.case, lanes[0], Path(place))
            else:
                failed = attack(options, lanes, Path(place))
        finally:
            for lane in lanes:
                lane.close()
    raise SystemExit(1 if failed else 0)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.attack", description="Attack `bandpo` and count survivals.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--resume", action="store_true", help="keep parts that the results file has whole")
    parser.add_argument("--case", help="run the bad inputs whose kind or name has these words, and show all they print")
    parser.add_argument("--seed", type=int, default=0, help="of moments and workers to kill")
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1, help="attacks at a time; as many as cores")
    parser.add_argument("--patience", type=float, default=1.0, help="times as long for every part, on a busy machine")
    parser.add_argument("--out", type=Path, default=report.RESULT, help="results file")
    parser.add_argument("--page", action="store_true", help="put the table into docs/reliability.md as well")
    return parser


def attack(options: argparse.Namespace, lanes: list[Lane], place: Path) -> int:
    """Run the chosen parts and write what comes of them; how many attacks were not survived."""
    earlier = json.loads(options.out.read_text(encoding="utf-8")) if options.out.is_file() else {"parts": {}}
    kept = earlier["parts"] if options.only or options.resume else {}
    results: dict[str, Any] = {"seed": options.seed, "machine": report.machine(), "parts": dict(kept)}
    for name, part in PARTS.items():
        is_whole = options.resume and kept.get(name, {}).get("complete", False)
        if not is_whole and (options.only is None or name in options.only):
            setting = Setting(
                lanes, place / name, options.seed, time.monotonic() + 60 * part.minutes * options.patience
            )
            run_part(name, part, setting, results, options.out)
    results["parts"] = {name: results["parts"][name] for name in PARTS if name in results["parts"]}
    report.write(results, options.out)
    if options.page:
        report.update_page(results)
    print(report.table(results))
    return sum(len(part["failures"]) for part in results["parts"].values())


def run_part(name: str, part: Part, setting: Setting, results: dict[str, Any], out: Path) -> None:
    """Run one part, show its failures as they come, and write the results every few seconds."""
    started = written = time.monotonic()
    outcomes: list[Outcome] = []
    print(f"{name}: {part.about}", flush=True)
    for outcome in part.run(setting):
        outcomes.append(outcome)
        if outcome.failure is not None:
            print(f"  {outcome.name!a}: {outcome.failure!a}", flush=True)
        if time.monotonic() - written > _WRITE_SECONDS:
            written = time.monotonic()
            print(f"  {name}: {len(outcomes)} of about {part.expected}, {written - started:.0f} s", flush=True)
            results["parts"][name] = {"complete": False, **count(outcomes)}
            report.write(results, out)
    seconds = time.monotonic() - started
    in_time = time.monotonic() < setting.until
    results["parts"][name] = {"complete": in_time, "seconds": round(seconds), **count(outcomes)}
    report.write(results, out)
    print(f"{name}: {len(outcomes)} attacks in {seconds:.0f} s", flush=True)


def show_cases(words: str, lane: Lane, place: Path) -> int:
    """Run the bad inputs whose kind or name has these words and print everything; how many failed."""
    failed = 0
    for number, case in enumerate(case for case in all_cases() if words in case.kind or words in case.name):
        folder = place / f"case-{number}"
        outcome = bad_inputs.attack(case, folder)(lane)
        failed += outcome.failure is not None
        printed = "".join(folder.with_suffix(suffix).read_text(errors="replace") for suffix in (".out", ".err"))
        print(f"{case.name!a}\n{case.repro()!a}\n{ascii(printed)[1:-1]}")
        print(f"exit code {outcome.code}, {outcome.seconds:.1f} s: {outcome.failure or 'survived'}\n")
    return failed


if __name__ == "__main__":
    main()
