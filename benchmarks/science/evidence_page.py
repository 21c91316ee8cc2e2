"""The tables of docs/evidence.md, made of the analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import marks
from benchmarks.science.plan import MAIN, MAIN_RATE

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
SHOWN = ("mean@32", "pass@8", "pass@32", "entropy", "rare", "clip")
README = PAGE.parents[1] / "README.md"
BRIEF = ("mean@32", "pass@32", "entropy")
# Rows of the overview: what the README calls an arm, and which it is in a cell.
ROLES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    **{f"`{arm}`": lambda cell, arm=arm: arm for arm in MAIN},
    "the best of 34 fixed pairs, tuned": lambda cell: cell["tuned"],
}
TITLES = {
    "H1": "Against the best of 34 fixed pairs",
    "H2": "Against the other methods",
    "H3": "The paper's region against fixed clips",
}


def start_of(name: str) -> str:
    """Return the line behind which a table stands."""
    return f"<!-- table: {name} -->\n"


def scores_table(cell: Mapping[str, Any]) -> Iterator[str]:
    """Yield the scores of a cell's arms, by pass@32, behind those of its warm starts."""
    yield "| method | n | mean@32 | pass@8 | pass@32 | entropy | uses * | stopped |"
    yield "|---|---:|---|---|---|---|---|---|"
    for start, scores in sorted(cell["starts"].items()):
        numbers = [f"{scores[name]:.3f}" if name in scores else "" for name in SHOWN]
        yield f"| *start: {start}* | | " + " | ".join(numbers) + " |"
    ordered = sorted(cell["arms"].items(), key=lambda item: -item[1]["pass@32"]["mean"])
    for arm, scores in ordered:
        name = f"`{arm}`" + (f" ({'given' if cell['given'] else 'tuned'} pair)" if arm == cell["tuned"] else "")
        numbers = [_with_error(scores[measure]) for measure in SHOWN]
        yield f"| {name} | {scores['n']} | " + " | ".join(numbers) + " |"


def _with_error(score: Mapping[str, Any]) -> str:
    error = "" if score["se"] is None else f" ± {score['se']:.3f}"
    return f"{score['mean']:.3f}{error}"


def tests_table(tests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the tests of a hypothesis."""
    yield (
        "| claim | task, learning rate | difference | n | mean | 95 % (t) | 95 % (bootstrap) | by warm start "
        "| Holm p | |"
    )
    yield "|---|---|---|---:|---|---|---|---|---|---|"
    for test in tests:
        by_start = " ".join(f"{value:+.3f}" for value in test["by_start"].values())
        margin = f" > −{test['margin']}" if test["margin"] is not None else ""
        cells = [
            test["claim"],
            f"{test['task']}, {test['rate']:g}",
            f"{test['measure']}: `{test['a']}` − `{test['b']}`{margin}",
            str(test["n"]),
            f"{test['mean']:+.3f}",
            f"{test['low']:+.3f} … {test['high']:+.3f}",
            f"{test['boot_low']:+.3f} … {test['boot_high']:+.3f}",
            by_start,
            f"{test['holm']:.2g}",
            {"shown": "**shown**"}.get(test["shown"], test["shown"]),
        ]
        yield "| " + " | ".join(cells) + " |"


def overview(found: Mapping[str, Any]) -> str:
    """Return the arms of all tasks at the main learning rate beside each other, for the README."""
    cells = [cell for cell in found["cells"] if cell["rate"] == MAIN_RATE]
    heads = [f"{cell['task']}: {name}" for cell in cells for name in BRIEF]
    lines = ["| method | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    lines.append(
        "| *start, mean of three* | " + " | ".join(_start(cell, name) for cell in cells for name in BRIEF) + " |"
    )
    for role, arm_of in ROLES.items():
        arms = [arm_of(cell) for cell in cells]
        if all(arm in cell["arms"] for arm, cell in zip(arms, cells, strict=True)):
            numbers = [_with_error(cell["arms"][arm][n]) for arm, cell in zip(arms, cells, strict=True) for n in BRIEF]
            lines.append(f"| {role} | " + " | ".join(numbers) + " |")
    return "\n".join(lines) + "\n"


def _start(cell: Mapping[str, Any], name: str) -> str:
    values = [scores[name] for scores in cell["starts"].values()]
    return f"{sum(values) / len(values):.3f}"


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """Return all tables by name."""
    scores = []
    for cell in found["cells"]:
        scores += [f"### {cell['task']}, learning rate {cell['rate']:g}", "", *scores_table(cell), ""]
    made = {"scores": "\n".join(scores)}
    return made | {name: "\n".join(tests_table(tests)) + "\n" for name, tests in found["hypotheses"].items()}


def summary(found: Mapping[str, Any]) -> str:
    """Return all tables as one text."""
    made = tables(found)
    parts = [made["scores"], *(f"{name}. {title}\n\n{made[name]}" for name, title in TITLES.items())]
    return "\n".join(parts)


def write_page(found: Mapping[str, Any], page: Path = PAGE) -> None:
    """Put all tables between their marks."""
    for name, table in tables(found).items():
        put(name, table, page)


def put(name: str, table: str, page: Path = PAGE) -> None:
    """Put one table between its marks.

    Raises:
        ValueError: the page has no mark for it.
    """
    marks.put(page, start_of(name), table)
