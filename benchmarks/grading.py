"""The grader against verdicts by hand and other graders, against hostile answers, and against the clock.

    python benchmarks/grading.py [--fuzzed 100000] [--out benchmarks/results]

Writes benchmarks/results/grading.{json,md}. On every pair of the tables in tests/rewards: `math_reward`, its rule
"math-verify", math-verify alone, verl's `math_dapo` and `prime_math`, and the paper's rule; the answers a second of
those that stood in turn for `math_reward`; time and outcome of every hostile answer; 100,000 generated ones.
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
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bandpo.rewards import Grader
from bandpo.speed.report import machine

if __package__:
    from benchmarks import grading_fetch, grading_fuzz, grading_report, grading_torture
else:
    import grading_fetch  # pyright: ignore[reportMissingImports]
    import grading_fuzz  # pyright: ignore[reportMissingImports]
    import grading_report  # pyright: ignore[reportMissingImports]
    import grading_torture  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[1]
TABLES = ("labelled", "cases", "held_out", "development")
RESULTS = Path(__file__).parent / "results"
TIMEOUT, MEMORY_MB = 3.0, 512
FUZZED, SEED, LATE = 100_000, 1, 1.0
TURNS = 3
MOST_SECONDS = 1800.0

Row = dict[str, str]


def table(name: str) -> list[Row]:
    """Return the pairs and verdicts by hand of a table, none where it does not exist."""
    path = ROOT / "tests" / "rewards" / f"{name}.tsv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
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


def comparison(rows: Sequence[Row], verl: Path | None, tell: Any = print) -> dict[str, Any]:
    """Return every grader's confusion, by table and by kind, and the pairs on which `math_reward` errs."""
    names = ["math_reward", "math-verify rule", "math-verify alone", "answer_line_reward"]
    names += ["verl math_dapo", "verl prime_math"] if verl else []
    outcomes = {}
    for name in names:
        outcomes[name] = graded(name, rows, folder=verl)["outcomes"]
        tell(f"{name}: {confusion(rows, outcomes[name])}")
    errors = [
        {"outcome": outcome, **{key: row[key] for key in ("table", "kind", "verdict", "reference", "completion")}}
        for row, outcome in zip(rows, outcomes["math_reward"], strict=True)
        if (outcome == "accepted") != (row["verdict"] == "right")
    ]
    return {
        "tables": {name: by("table", rows, given) for name, given in outcomes.items()},
        "kinds": {name: by("kind", rows, given) for name, given in outcomes.items()},
        "errors": errors,
    }


def speed(rows: Sequence[Row], before: Path | None, tell: Any = print) -> dict[str, dict[str, float]]:
    """Return answers a second of three designs on the same pairs, best and median of turns that all take part in."""
    sources = {"math_reward": None, "math-verify rule": None} | ({"before": before} if before else {})
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for _ in range(TURNS):
        for name, source in sources.items():
            seconds[name].append(graded(name, rows, source=source)["seconds"])
    rates = {name: sorted(len(rows) / took for took in times) for name, times in seconds.items()}
    tell(f"answers a second: {rates}")
    return {name: {"best": round(r[-1], 1), "median": round(r[len(r) // 2], 1)} for name, r in rates.items()}


def torture(rule: str | None) -> list[dict[str, Any]]:
    """Return outcome and seconds of every hostile answer; through the pool, one process, a new one after a refusal."""
    grader = Grader(**({} if rule is None else {"rule": rule}), timeout=TIMEOUT, memory_mb=MEMORY_MB, workers=1)
    grader.grade([r"\boxed{x+x}"], ["y"])
    measured = []
    for name, reference, completion in grading_torture.TORTURE:
        started = time.perf_counter()
        [verdict] = grader.grade([completion], [reference])
        seconds = time.perf_counter() - started
        outcome = verdict.refused or ("equal" if verdict.is_correct else "not equal")
        measured.append({"name": name, "characters": len(completion), "seconds": round(seconds, 3), "outcome": outcome})
    grader.close()
    return measured


def fuzz(count: int, seed: int, tell: Any = print) -> dict[str, dict[str, Any]]:
    """Return by kind how many generated answers were graded, paid, refused, raised or took longer than a second."""
    grader = Grader()
    kinds: dict[str, dict[str, Any]] = {}
    for n, hostile in enumerate(grading_fuzz.hostile_answers(count, seed), 1):
        seen = kinds.setdefault(hostile.kind, {"graded": 0, "paid": 0, "raised": 0, "late": 0, "slowest": 0.0})
        started = time.perf_counter()
        try:
            [verdict] = grader.grade([hostile.completion], [hostile.reference])
        except Exception as error:
            tell(f"raised {error!r}: {hostile}")
            seen["raised"] += 1
        else:
            if verdict.is_correct:
                tell(f"paid: {hostile}")
            seen["paid"] += verdict.is_correct
            seen[verdict.refused or "refused"] = seen.get(verdict.refused or "refused", 0) + (not verdict.is_correct)
        seconds = time.perf_counter() - started
        seen["graded"] += 1
        seen["late"] += seconds > LATE
        seen["slowest"] = round(max(seen["slowest"], seconds), 3)
        if n % 10_000 == 0:
            tell(f"{n:,} generated answers graded")
    grader.close()
    return kinds


def main() -> None:
    """Measure everything, say so, and write both files."""
    parser = argparse.ArgumentParser(description="Measure the grader.")
    parser.add_argument("--fuzzed", type=int, default=FUZZED, help="generated answers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of grading.json and grading.md")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    about = machine("cpu", 1)
    about["load_average"] = round(os.getloadavg()[0], 1)
    about["packages"] |= {name: importlib.metadata.version(name) for name in ("math-verify", "sympy")}
    verl, before = grading_fetch.verl(), grading_fetch.before()
    left_out = [sentence for sentence in (verl, before) if isinstance(sentence, str)]
    print(*left_out, sep="\n")
    if isinstance(verl, Path):
        about["packages"]["verl"] = grading_fetch.verl_version(verl)
    rows = [row for name in TABLES for row in table(name)]
    result = {
        "machine": about,
        "left_out": left_out,
        "pairs": dict(Counter(row["table"] for row in rows)),
        "before": grading_fetch.BEFORE,
        "comparison": comparison(rows, verl if isinstance(verl, Path) else None),
        "speed": speed(rows, before if isinstance(before, Path) else None),
        "torture": {"math_reward": torture(None), "math-verify rule": torture("math-verify")},
        "fuzz": {"seed": SEED, "kinds": fuzz(options.fuzzed, SEED)},
    }
    page = grading_report.markdown(result)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "grading.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.out / "grading.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
