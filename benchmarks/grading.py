"""The grader against verdicts by hand, against hostile answers, and against the clock.

    python benchmarks/grading.py

Writes benchmarks/results/grading.{json,md}: agreement with tests/rewards/labelled.tsv of this grader, of math-verify
alone and of the paper's rule; time and outcome of every hostile answer; answers per second.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bandpo.bench.report import machine
from bandpo.rewards import Grader
from bandpo.rewards.pool import Pool

if __package__:
    from benchmarks.grading_torture import MEMORY, TORTURE
else:
    from grading_torture import MEMORY, TORTURE  # pyright: ignore[reportMissingImports]

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "rewards" / "labelled.tsv"
RESULT = Path(__file__).parent / "results" / "grading.json"
TIMEOUT, MEMORY_MB = 3.0, 512
MEMORY_SECONDS, LITTLE_MEMORY_MB = 30.0, 128
ALGEBRA, TURNS = 120, 5


def labelled() -> list[dict[str, str]]:
    """The pairs and verdicts by hand."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [{**row, "completion": row["completion"].replace("⏎", "\n")} for row in rows]


def math_verify_alone(completion: str, reference: str) -> bool:
    """math-verify as its README has it, with its own time-outs, in this process's main thread."""
    from math_verify import parse, verify

    return bool(verify(parse(f"${reference}$"), parse(completion)))


def counts(rows: Sequence[dict[str, str]], verdicts: Sequence[bool]) -> dict[str, int]:
    """How many verdicts agree with those by hand, and how many err to either side."""
    right = [row["verdict"] == "right" for row in rows]
    pairs = list(zip(right, verdicts, strict=True))
    return {
        "pairs": len(rows),
        "agree": sum(a == b for a, b in pairs),
        "false_positives": sum(b and not a for a, b in pairs),
        "false_negatives": sum(a and not b for a, b in pairs),
    }


def agreement() -> dict[str, Any]:
    """Counts of each grader on the whole table and on its held-out part, which was written when the grader was done."""
    rows = labelled()
    held_out = [row["kind"] == "held out" for row in rows]
    completions, references = [row["completion"] for row in rows], [row["reference"] for row in rows]
    graders: dict[str, Sequence[bool]] = {}
    for rule in ("math-verify", "answer-line"):
        grader = Grader(rule, timeout=30, workers=2)
        graders[rule] = [verdict.is_correct for verdict in grader.grade(completions, references)]
        grader.close()
    graders["math-verify alone"] = [math_verify_alone(*pair) for pair in zip(completions, references, strict=True)]
    by_part = {}
    for name, verdicts in graders.items():
        part = [(row, verdict) for row, verdict, held in zip(rows, verdicts, held_out, strict=True) if held]
        by_part[name] = {"all": counts(rows, verdicts), "held out": counts(*zip(*part, strict=True))}  # pyright: ignore
    kinds = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        part = [(row, v) for row, v in zip(rows, graders["math-verify"], strict=True) if row["kind"] == kind]
        kinds[kind] = counts(*zip(*part, strict=True))  # pyright: ignore[reportArgumentType]
    known = [{k: row[k] for k in ("kind", "verdict", "reference", "completion", "known disagreement")} for row in rows]
    return {"graders": by_part, "kinds": kinds, "known": [row for row in known if row["known disagreement"]]}


def torture(answers: Sequence[tuple[str, str, str]], timeout: float, memory_mb: int) -> list[dict[str, Any]]:
    """Outcome and seconds of every hostile answer, one process, a new one after each refusal."""
    grader = Grader(timeout=timeout, memory_mb=memory_mb, workers=1)
    grader.grade([r"\boxed{x+x}"], ["y"])
    measured = []
    for name, reference, completion in answers:
        started = time.perf_counter()
        [verdict] = grader.grade([completion], [reference])
        seconds = time.perf_counter() - started
        outcome = verdict.refused or ("equal" if verdict.is_correct else "not equal")
        measured.append({"name": name, "characters": len(completion), "seconds": round(seconds, 2), "outcome": outcome})
    grader.close()
    return measured


def algebra(count: int) -> tuple[list[str], list[str]]:
    """Pairs that need algebra, each different: polynomials, roots, intervals, sets, points; half of them equal."""
    forms = [
        (r"\boxed{{(x+{n})(x-{n})}}", "x^2-{m}"),
        (r"\boxed{{{n}\sqrt{{2}}+{n}}}", r"\sqrt{{2}}\cdot {n}+{n}"),
        (r"\boxed{{[{n},\infty)}}", r"x \ge {n}"),
        (r"\boxed{{\{{{n},{m},x\}}}}", r"\{{x,{m},{n}\}}"),
        (r"\boxed{{({n},\frac{{{m}}}{{2}})}}", r"({n},\frac{{{m}}}{{2}}+{k})"),
        (r"\boxed{{\frac{{{n}x+{n}}}{{{m}}}}}", r"\frac{{{n}(x+1)}}{{{m}}}+{k}"),
    ]
    pairs = []
    for n in range(2, 2 + count):
        answer, reference = forms[n % len(forms)]
        pairs.append((answer.format(n=n, m=n * n, k=n % 2), reference.format(n=n, m=n * n, k=n % 2)))
    return [answer for answer, _ in pairs], [reference for _, reference in pairs]


def throughput() -> dict[str, float]:
    """Answers a second, the best of several turns in which all take part."""
    answers, references = algebra(ALGEBRA)
    integers, expected = [rf"So it is $\boxed{{{n}}}$." for n in range(20_000)], [str(n - n % 2) for n in range(20_000)]
    one, two = (Grader(timeout=30, workers=workers) for workers in (1, 2))

    def anew(grader: Grader) -> None:
        grader._known.clear()
        grader.grade(answers, references)

    arms: dict[str, tuple[Callable[[], Any], int]] = {
        "integers, decided without a process": (lambda: Grader().grade(integers, expected), len(integers)),
        "algebra, two processes": (lambda: anew(two), ALGEBRA),
        "algebra, one process": (lambda: anew(one), ALGEBRA),
        "algebra, math-verify in this process": (lambda: [*map(math_verify_alone, answers, references)], ALGEBRA),
        "the same answers again": (lambda: two.grade(answers, references), ALGEBRA),
    }
    logging.disable(logging.WARNING)
    seconds = dict.fromkeys(arms, float("inf"))
    for _ in range(TURNS):
        for name, (grade, _) in arms.items():
            started = time.perf_counter()
            grade()
            seconds[name] = min(seconds[name], time.perf_counter() - started)
    one.close()
    two.close()
    return {name: round(count / seconds[name], 1) for name, (_, count) in arms.items()}


def costs() -> dict[str, float]:
    """Milliseconds: until the first answer through a process, for the least answer, until the first after a refusal."""
    firsts, least, again = [], [], []
    for _ in range(5):
        pool = Pool(seconds=30, megabytes=MEMORY_MB, workers=1, answers_each=41)
        for turn in range(42):
            started = time.perf_counter()
            pool.equal(r"\boxed{1}", r"\boxed{1}")
            (firsts if turn == 0 else again if turn == 41 else least).append(time.perf_counter() - started)
        pool.close()
    return {
        "first answer through a process": round(1000 * statistics.median(firsts), 1),
        "least answer through a process": round(1000 * statistics.median(least), 2),
        "the same with a new process, as after a refusal": round(1000 * statistics.median(again), 1),
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as tables."""
    lines = ["# Grading", "", "Generated by `python benchmarks/grading.py`. " + _machine_line(result["machine"]), ""]
    lines += ["## Against verdicts by hand", "", "`tests/rewards/labelled.tsv`, pairs of reference and completion.", ""]
    lines += ["| grader | pairs | agree | false positives | false negatives |", "|---|---|---|---|---|"]
    named = {
        "math-verify": "**`math_reward`**",
        "math-verify alone": "math-verify alone",
        "answer-line": "`answer_line_reward`",
    }
    for grader, name in named.items():
        for part in ("all", "held out"):
            c = result["agreement"]["graders"][grader][part]
            label = name if part == "all" else f"{name}, held-out part"
            numbers = (c["pairs"], c["agree"], c["false_positives"], c["false_negatives"])
            lines.append(f"| {label} | " + " | ".join(map(str, numbers)) + " |")
    lines += ["", "The held-out part was written when the grader was done, and nothing was changed for it.", ""]
    lines += ["| kind | pairs | agree | false positives | false negatives |", "|---|---|---|---|---|"]
    for kind, c in result["agreement"]["kinds"].items():
        numbers = (c["pairs"], c["agree"], c["false_positives"], c["false_negatives"])
        lines.append(f"| {kind} | " + " | ".join(map(str, numbers)) + " |")
    lines += ["", "Known disagreements:", "", "| by hand | reference | completion | why |", "|---|---|---|---|"]
    for row in result["agreement"]["known"]:
        cells = (row["verdict"], f"`{row['reference']}`", f"`{row['completion']}`", row["known disagreement"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "## Hostile answers", "", f"Limits {TIMEOUT} s and {MEMORY_MB} MB, one process. ", ""]
    lines[-2] += "The time includes a new process after a refusal."
    lines += ["| answer | characters | seconds | outcome |", "|---|---|---|---|"]
    lines += [f"| {t['name']} | {t['characters']:,} | {t['seconds']:.2f} | {t['outcome']} |" for t in result["torture"]]
    lines += ["", f"With {LITTLE_MEMORY_MB} MB and {MEMORY_SECONDS:.0f} s:", ""]
    lines += ["| answer | characters | seconds | outcome |", "|---|---|---|---|"]
    lines += [f"| {t['name']} | {t['characters']:,} | {t['seconds']:.2f} | {t['outcome']} |" for t in result["memory"]]
    lines += ["", "## Speed", "", "| what | answers a second |", "|---|---|"]
    lines += [f"| {name} | {value:,.0f} |" for name, value in result["throughput"].items()]
    lines += ["", "| what | milliseconds |", "|---|---|"]
    lines += [f"| {name} | {value:,.1f} |" for name, value in result["costs"].items()]
    return "\n".join(lines) + "\n"


def _machine_line(about: dict[str, Any]) -> str:
    return (
        f"{about['processor']}, {about['cores']} cores at a load average of {about['load_average']} before it began, "
        f"math-verify {about['packages']['math-verify']}."
    )


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    about = machine("cpu", 1)
    about["load_average"] = round(os.getloadavg()[0], 1)
    about["packages"] |= {name: importlib.metadata.version(name) for name in ("math-verify", "sympy")}
    result = {
        "machine": about,
        "agreement": agreement(),
        "torture": torture(TORTURE, TIMEOUT, MEMORY_MB),
        "memory": torture(MEMORY, MEMORY_SECONDS, LITTLE_MEMORY_MB),
        "throughput": throughput(),
        "costs": costs(),
    }
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    RESULT.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    print(markdown(result))


if __name__ == "__main__":
    main()
