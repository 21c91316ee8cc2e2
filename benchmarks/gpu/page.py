"""docs/gpu.md: what was asked of one GPU, what it said, and what one said before; made of the parts' results files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.asked import BEFORE, NOT_MEASURED, QUESTIONS, number
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.record import CUT_SHORT, FINISHED, read, value_of
from benchmarks.gpu.runner import ROOT
from benchmarks.marks import put

PAGE = ROOT / "docs" / "gpu.md"
RESULTS = ROOT / "benchmarks" / "results" / "gpu"
START = "<!-- table: python -m benchmarks.gpu -->\n"
TITLES = {
    "correctness": "Right",
    "speed": "Fast",
    "commands": "Commands",
    "training": "Training at 0.5B",
    "heads": "Memory of the head",
    "study": "The study",
}
Results = Mapping[str, Mapping[str, Any] | None]


def load(folder: Path) -> dict[str, dict[str, Any] | None]:
    """Return what every part has written, None for a part that has written nothing."""
    return {name: read(folder / f"{name}.json") for name in PARTS}


def rows(results: Results, part: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (what, asked, measured, verdict, before) of every question of a part."""
    data = results.get(part)
    for key, question in QUESTIONS.items():
        if question.part == part:
            value = value_of(data, key)
            detail = (data or {}).get("details", {}).get(key, "")
            shown = NOT_MEASURED if value is None else number(value) + (f" ({detail})" if detail else "")
            verdict = question.verdict(value) if value is not None else "–"
            yield question.what, question.bound(), shown, verdict, question.before


def summary(results: Results) -> str:
    """Return all rows as plain text, part by part, for the end of a run."""
    lines = []
    for part in PARTS:
        data = results.get(part)
        lines += ["", f"{part}: {ended(data) if data else NOT_MEASURED}"]
        is_dry = bool(data and data.get("small")) and part != "correctness"
        for what, asked, shown, verdict, _ in rows(results, part):
            lines.append(f"  {what:75} {asked:18} {'dry run' if is_dry else verdict.strip('*'):12} {shown}")
    return "\n".join(lines).strip("\n")


def ended(data: Mapping[str, Any]) -> str:
    """Return how a part ended; one whose script was killed could not say."""
    return data.get("ended") or CUT_SHORT


def table(results: Results) -> str:
    """Return the page's tables; results of a dry run on a CPU count as none."""
    real = {part: data for part, data in results.items() if data and not data.get("small")}
    lines = [_where(real), ""]
    for part, title in TITLES.items():
        lines += [f"## {title}", "", f"| what | asked | measured | | on {BEFORE} |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows(real, part)]
        end = ended(real[part]) if part in real else FINISHED
        lines += ["", *([f"This part did not finish: {end}.", ""] if end != FINISHED else [])]
    return "\n".join(lines)


def _where(real: Results) -> str:
    """Return a sentence of where and when, or that it has not been measured."""
    measured = [data for data in real.values() if data and "machine" in data]
    if not measured:
        return f"Not run on this state of the code yet; the last column is what one H200 said of commit {BEFORE}."
    about, commit = measured[0]["machine"], measured[0].get("commit")
    versions = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    seconds = sum(data.get("seconds", 0) for data in real.values() if data)
    code = f"commit {commit}, " if commit else ""
    return f"One {about['gpu']}, {about['date']}, {code}{versions}; {seconds:.0f} seconds in all."


def update(folder: Path, page: Path = PAGE) -> None:
    """Put the tables of a folder's results between their lines on the page.

    Raises:
        ValueError: a page without these lines.
    """
    put(page, START, f"\n{table(load(folder))}")


def is_wrong(results: Results) -> bool:
    """Return whether the part of correctness was begun and says that something is wrong, or did not finish."""
    data = results.get("correctness")
    if data is None:
        return False
    values = ((question, value_of(data, key)) for key, question in QUESTIONS.items())
    return ended(data) != FINISHED or any(
        question.part == "correctness" and value is not None and not question.holds(value) for question, value in values
    )
