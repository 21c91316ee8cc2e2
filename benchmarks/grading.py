"""The grader against verdicts by hand and other graders, against hostile answers, and against the clock.

    python benchmarks/grading.py [--fuzzed 100000] [--out benchmarks/results] [--page]

Writes benchmarks/results/grading.{json,md}, with --page the tables of docs/grading.md too. On every pair of the tables
in tests/rewards: `math_reward`, its rule "math-verify", math-verify alone, verl's `math_dapo` and `prime_math`, and the
paper's rule; the answers a second of `math_reward`, of what it was before, and of math-verify alone, in turn; time and
outcome of every hostile answer; 100,000 generated ones.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bandpo.speed.report import machine

if __package__:
    from benchmarks import grading_fetch, grading_hostile, grading_report
else:
    import grading_fetch  # pyright: ignore[reportMissingImports]
    import grading_hostile  # pyright: ignore[reportMissingImports]
    import grading_report  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[1]
TABLES = ("labelled", "cases", "own", "development", "held_out")
RESULTS = Path(__file__).parent / "results"
FUZZED, SEEDS = 100_000, (1, 2)
TURNS, EVERY = 3, 9
AT_ONCE = 2
MOST_SECONDS = 1800.0

Row = dict[str, str]


def table(name: str) -> list[Row]:
    """Return the pairs and verdicts by hand of a table."""
    with (ROOT / "tests" / "rewards" / f"{name}.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [{**row, "table": name, "completion": row["completion"].replace("⏎", "\n")} for row in rows]


def graded(name: str, rows: Sequence[Row], folder: Path | None = None, source: Path | None = None) -> dict[str, Any]:
    """Return the outcome of every row and the seconds they took, of a grader in a process of its own.

    Raises:
        RuntimeError: it ended without a result.
    """
    command = [sys.executable, str(Path(__file__).with_name("grading_graders.py")), name, str(folder or "")]
    path = os.pathsep.join(filter(None, [str(source or ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    pairs = json.dumps([[row["reference"], row["completion"]] for row in rows])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, input=pairs, capture_output=True, text=True, env=environment, timeout=MOST_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{name} graded nothing: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def confusion(rows: Sequence[Row], outcomes: Sequence[str]) -> dict[str, int]:
    """Return how many right and wrong answers were accepted, refused and left unread."""
    counts = Counter(f"{row['verdict']} {outcome}" for row, outcome in zip(rows, outcomes, strict=True))
    keys = [f"{verdict} {outcome}" for verdict in ("right", "wrong") for outcome in ("accepted", "refused", "unread")]
    return {key: counts[key] for key in keys} | {"errors": counts["right error"] + counts["wrong error"]}


def by(key: str, rows: Sequence[Row], outcomes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the confusion of every part of the rows that have the same value of a column."""
    parts: dict[str, list[tuple[Row, str]]] = {}
    for row, outcome in zip(rows, outcomes, strict=True):
        parts.setdefault(row[key], []).append((row, outcome))
    return {name: confusion([row for row, _ in part], [outcome for _, outcome in part]) for name, part in parts.items()}


def by_kind(rows: Sequence[Row], outcomes: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the confusion of every kind of every table."""
    pairs = list(zip(rows, outcomes, strict=True))
    found = {}
    for name in dict.fromkeys(row["table"] for row in rows):
        part = [pair for pair in pairs if pair[0]["table"] == name]
        found[name] = by("kind", [row for row, _ in part], [outcome for _, outcome in part])
    return found


def comparison(rows: Sequence[Row], verl: Path | None) -> dict[str, Any]:
    """Return every grader's confusion, by table and by kind, and the pairs on which `math_reward` errs."""
    names = ["math_reward", "math-verify rule", "math-verify alone", "answer_line_reward"]
    names += ["verl math_dapo", "verl prime_math"] if verl else []

    def outcomes_of(name: str) -> list[str]:
        outcomes = graded(name, rows, folder=verl)["outcomes"]
        print(f"{name}: {confusion(rows, outcomes)}", flush=True)
        return outcomes

    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = dict(zip(names, threads.map(outcomes_of, names), strict=True))
    errors = [
        {"outcome": outcome, **{key: row[key] for key in ("table", "kind", "verdict", "reference", "completion")}}
        for row, outcome in zip(rows, outcomes["math_reward"], strict=True)
        if (outcome == "accepted") != (row["verdict"] == "right")
    ]
    return {
        "tables": {name: by("table", rows, given) for name, given in outcomes.items()},
        "kinds": {name: by_kind(rows, given) for name, given in outcomes.items()},
        "errors": errors,
    }


def speed(rows: Sequence[Row], before: Path | None) -> dict[str, Any]:
    """Return answers a second of graders that stand in turn for `math_reward` on the same pairs, and how often ours.

    The ratios are of the seconds within one turn, since what else the machine does slows both down.
    """
    sources = {"math_reward": None, "math-verify alone": None} | ({"before": before} if before else {})
    turns: list[dict[str, float]] = []
    for _ in range(TURNS):
        turns.append({name: graded(name, rows, source=source)["seconds"] for name, source in sources.items()})
        print({name: f"{len(rows) / seconds:,.0f} a second" for name, seconds in turns[-1].items()}, flush=True)
    return {
        "pairs": len(rows),
        "rates": {name: [round(len(rows) / turn[name], 1) for turn in turns] for name in sources},
        "times": {
            name: [round(turn[name] / turn["math_reward"], 1) for turn in turns]
            for name in sources
            if name != "math_reward"
        },
    }


def measured(fuzzed: int) -> dict[str, Any]:
    """Return all results."""
    about = machine("cpu", 1)
    about["load_average"] = round(os.getloadavg()[0], 1)
    about["packages"] |= {name: importlib.metadata.version(name) for name in ("math-verify", "sympy", "python-flint")}
    verl, before = grading_fetch.verl(), grading_fetch.before()
    left_out = [sentence for sentence in (verl, before) if isinstance(sentence, str)]
    print(*left_out, sep="\n")
    if isinstance(verl, Path):
        about["packages"]["verl"] = grading_fetch.verl_version(verl)
    rows = [row for name in TABLES for row in table(name)]
    return {
        "command": "python benchmarks/grading.py" + (f" --fuzzed {fuzzed}" if fuzzed != FUZZED else ""),
        "machine": about,
        "left_out": left_out,
        "pairs": dict(Counter(row["table"] for row in rows)),
        "before": grading_fetch.BEFORE,
        "comparison": comparison(rows, verl if isinstance(verl, Path) else None),
        "speed": speed(rows[::EVERY], before if isinstance(before, Path) else None),
        "torture": {rule: grading_hostile.torture(rule) for rule in ("math", "math-verify")},
        "fuzz": {"seeds": list(SEEDS), "kinds": grading_hostile.fuzz(fuzzed, SEEDS)},
    }


def write(result: Mapping[str, Any], folder: Path) -> None:
    """Write the result and the page made of it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grading.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "grading.md").write_text(grading_report.markdown(result), encoding="utf-8")


def main() -> None:
    """Measure everything, say so, and write it."""
    parser = argparse.ArgumentParser(description="Measure the grader.")
    parser.add_argument("--fuzzed", type=int, default=FUZZED, help="generated answers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of grading.json and grading.md")
    parser.add_argument("--page", action="store_true", help="put the tables into docs/grading.md as well")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    result = measured(options.fuzzed)
    write(result, options.out)
    if options.page:
        grading_report.update_page(result)
    print(grading_report.summary(result))


if __name__ == "__main__":
    main()
