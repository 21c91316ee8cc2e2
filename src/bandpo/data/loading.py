"""Mathematics in one schema: prompt (chat), answer (text), source, id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datasets import Dataset

from bandpo.data.catalogue import DATASETS, MathData, reference
from bandpo.data.reading import read_table
from bandpo.data.templates import get_template, without_template

COLUMNS = ("prompt", "answer", "source", "id")


@dataclass(frozen=True)
class Problem:
    """A problem before it is put in a prompt.

    Attributes:
        problem: its text, or a chat that asks for it.
        answer: the reference answer.
        source: the data set it is from.
        id: unique in its data set.
    """

    problem: str | list[dict[str, str]]
    answer: str
    source: str
    id: str

    @property
    def text(self) -> str:
        """The problem itself: the text, or the last user message without a known template around it.

        >>> from bandpo.data.loading import Problem
        >>> Problem([{"role": "user", "content": "1 + 1?"}], "2", "mine", "mine/0").text
        '1 + 1?'
        """
        if isinstance(self.problem, str):
            return self.problem
        said = [message["content"] for message in self.problem if message["role"] == "user"]
        return without_template(said[-1]) if said else ""


def load(name: str, source: str | None = None, *, split: str | None = None, template: str = "boxed") -> Dataset:
    """A data set as rows of `prompt` (chat messages), `answer` (text), `source` (its name) and `id`.

    Args:
        name: a name of `bandpo data list`; or a file, folder or Hub id of problems in a common form: columns
            problem, question or prompt (text or chat), and answer or verl's reward_model.
        source: file or folder to read instead of the Hub, in the same format.
        split: other than the data set's usual one.
        template: what the prompt says around the problem: "boxed", "paper", "none" or a text with {problem}. Rows
            whose prompt is a chat already keep it.

    Raises:
        ValueError: not found, no such split, a missing column, an empty problem or answer, an unknown template.

    >>> rows = bandpo.data.load("aime24", "tests/data/samples/aime24.jsonl", template="none")
    >>> rows.column_names, rows[0]["answer"]
    (['prompt', 'answer', 'source', 'id'], '47')
    """
    get_template(template)
    return in_schema(read_problems(name, source, split=split), template)


def in_schema(problems: Sequence[Problem], template: str) -> Dataset:
    """Problems as rows of `prompt`, `answer`, `source` and `id`, those that are no chat yet in a template."""
    text = get_template(template)
    chats = [
        [{"role": "user", "content": text.format(problem=p.problem)}] if isinstance(p.problem, str) else p.problem
        for p in problems
    ]
    answers, sources, ids = zip(*((p.answer, p.source, p.id) for p in problems), strict=True)
    return Dataset.from_dict(dict(zip(COLUMNS, (chats, list(answers), list(sources), list(ids)), strict=True)))


def read_problems(name: str, source: str | None = None, *, split: str | None = None) -> list[Problem]:
    """The problems of a data set as they are, before any template; arguments and errors as those of `load`."""
    data = DATASETS.get(name)
    place = source or (data.hub if data else name)
    option = "source" if source else "dataset"
    table = read_table(
        place,
        split or (data.split if data else "train"),
        config=data.config if data and not source else None,
        option=option,
        expected=f"a path, a Hub id or one of {', '.join(DATASETS)}",
        known=[*DATASETS],
    )
    label = f"{option}={place!r}"
    is_common = data is None or {"prompt", "answer"} <= set(table.column_names)
    row_of = _common_rows(name, table, label) if data is None or is_common else _known_rows(data, table, label)
    found = [_checked(made, f"{label}, row {n}") for n, row in enumerate(table) if (made := row_of(n, row)) is not None]
    if not found:
        raise ValueError(f"{label}: none of its {len(table)} rows belongs to {name}, expected at least one")
    return found


_RowMaker = Callable[[int, Any], "Problem | None"]


def _known_rows(data: MathData, table: Dataset, label: str) -> _RowMaker:
    """From a row of a data set of the catalogue to (problem, answer, source, id); None where it does not belong."""
    _require(table, data.columns, label)

    def make(number: int, row: Any) -> Problem | None:
        if not data.keep(row):
            return None
        identifier = row.get(data.identifier) if data.identifier else None
        try:
            answer = data.read_answer(row[data.answer])
        except ValueError as error:
            raise ValueError(f"{label}, row {number}: {error}") from None
        return Problem(
            row[data.problem], answer, data.name, f"{data.name}/{number if identifier is None else identifier}"
        )

    return make


def _common_rows(name: str, table: Dataset, label: str) -> _RowMaker:
    """From a row of a file in a common form to (problem, answer, source, id)."""
    columns = table.column_names
    problem = next((c for c in ("prompt", "problem", "question") if c in columns), None)
    answer = next((c for c in ("answer", "reward_model", "solution") if c in columns), None)
    if problem is None or answer is None:
        raise ValueError(
            f"{label} has columns {', '.join(columns)}: expected prompt, problem or question, and answer, "
            "reward_model or solution"
        )

    def make(number: int, row: Any) -> Problem:
        value = row[answer].get("ground_truth") if isinstance(row[answer], dict) else row[answer]
        return Problem(
            row[problem],
            "" if value is None else reference(value),
            str(row.get("source") or row.get("data_source") or name),
            str(row["id"]) if row.get("id") is not None else f"{name}/{number}",
        )

    return make


def _require(table: Dataset, columns: tuple[str, ...], label: str) -> None:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ValueError(
            f"{label} has columns {', '.join(table.column_names)}: expected {', '.join(columns)} too, "
            f"{', '.join(missing)} missing"
        )


def _checked(row: Problem, label: str) -> Problem:
    """The row, a text freed of the paper's words around it.

    Raises:
        ValueError: an empty problem or answer.
    """
    if not row.problem or not row.answer:
        raise ValueError(f"{label}: expected a problem and an answer, got {row.problem!r:.60} and {row.answer!r:.60}")
    return replace(row, problem=without_template(row.problem)) if isinstance(row.problem, str) else row
