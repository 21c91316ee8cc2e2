"""Mathematics in one schema: prompt (chat), answer (text, or a list of alternatives), source, id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from bandpo.data.catalogue import DATASETS, MathData
from bandpo.data.messages import check_prompt, plain_messages, user_text
from bandpo.data.reading import has_splits, read_table
from bandpo.data.references import Reference, described, read_reference
from bandpo.data.rows import BadRow, BadRows, Inspection
from bandpo.data.templates import get_template, without_template

COLUMNS = ("prompt", "answer", "source", "id")


@dataclass(frozen=True)
class Problem:
    """A problem before it is put in a prompt.

    Attributes:
        problem: its text, or a chat that asks for it.
        answer: the reference answer, or several of which each is right.
        source: the data set it is from.
        id: unique in its data set.
    """

    problem: str | list[dict[str, Any]]
    answer: Reference
    source: str
    id: str

    @property
    def text(self) -> str:
        """Return the problem itself: the text, or the user's last message without a known template around it.

        >>> from bandpo.data.loading import Problem
        >>> Problem([{"role": "user", "content": "1 + 1?"}], "2", "mine", "mine/0").text
        '1 + 1?'
        """
        return self.problem if isinstance(self.problem, str) else without_template(user_text(self.problem))


def load(
    name: str,
    source: str | None = None,
    *,
    split: str | None = None,
    template: str = "boxed",
    alternatives: bool = False,
) -> Dataset:
    """Return a data set as rows of `prompt` (chat messages), `answer` (text), `source` (its name) and `id`.

    Args:
        name: a name of `bandpo data list`; or a file, folder or Hub id of problems in a common form: columns
            problem, question or prompt (text or chat), and answer or verl's reward_model.
        source: file or folder to read instead of the Hub, in the same format.
        split: other than the data set's usual one.
        template: what the prompt says around the problem: "boxed", "paper", "none" or a text with {problem}. Rows
            whose prompt is a chat already keep it.
        alternatives: whether an answer may be a list, of which each entry is right; where one is, all are lists.

    Raises:
        ValueError: not found, no such split, a missing column, an unknown template; or `BadRows`, rows whose problem
            or answer is missing, empty or of another type.

    >>> rows = bandpo.data.load("aime24", "tests/data/samples/aime24.jsonl", template="none")
    >>> rows.column_names, rows[0]["answer"]
    (['prompt', 'answer', 'source', 'id'], '47')
    """
    get_template(template)
    return in_schema(read_problems(name, source, split=split, alternatives=alternatives), template)


def in_schema(problems: Sequence[Problem], template: str) -> Dataset:
    """Return problems as rows of `prompt`, `answer`, `source` and `id`, those that are no chat yet in a template."""
    text = get_template(template)
    chats = [
        [{"role": "user", "content": text.format(problem=p.problem)}] if isinstance(p.problem, str) else p.problem
        for p in problems
    ]
    answers: list[Any] = [p.answer for p in problems]
    if any(isinstance(answer, tuple) for answer in answers):
        answers = [list(answer) if isinstance(answer, tuple) else [answer] for answer in answers]
    columns = (chats, answers, [p.source for p in problems], [p.id for p in problems])
    return Dataset.from_dict(dict(zip(COLUMNS, columns, strict=True)))


def read_problems(
    name: str, source: str | None = None, *, split: str | None = None, alternatives: bool = False
) -> list[Problem]:
    """Return the problems of a data set as they are, before any template; arguments and errors as those of `load`."""
    data = DATASETS.get(name)
    place = source or (data.hub if data else name)
    option = "source" if source else "dataset"
    if split is not None and not has_splits(place):
        raise ValueError(f"split={split!r}: {option}={place!r} is one table without splits, expected no split")
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
    if data is None or is_common:
        row_of = _common_rows(name, table, label, alternatives)
    else:
        row_of = _known_rows(data, table, label, alternatives)
    entries, bad = [], []
    for number, row in enumerate(table):
        try:
            entries.append(row_of(number, row))
        except ValueError as error:
            bad.append(BadRow(number, str(error)))
    if bad:
        raise BadRows([Inspection(label, len(table), bad)], "Mend these rows, or take them out.")
    problems = [problem for problem in entries if problem is not None]
    if not problems:
        raise ValueError(f"{label}: none of its {len(table)} rows belongs to {name}, expected at least one")
    return problems


_RowMaker = Callable[[int, Any], "Problem | None"]


def _known_rows(data: MathData, table: Dataset, label: str, alternatives: bool) -> _RowMaker:
    """Return what turns a row of a data set of the catalogue into its problem, None where it does not belong."""
    _require(table, data.columns, label)

    def make(number: int, row: Any) -> Problem | None:
        if not data.keep(row):
            return None
        identifier = row.get(data.identifier) if data.identifier else None
        answer = read_reference(row[data.answer], alternatives=alternatives, read=data.read_answer)
        own_id = f"{data.name}/{number if identifier is None else identifier}"
        return Problem(_problem(row[data.problem], data.problem), answer, data.name, own_id)

    return make


def _common_rows(name: str, table: Dataset, label: str, alternatives: bool) -> _RowMaker:
    """Return what turns a row of a file in a common form into its problem."""
    columns = table.column_names
    problem = next((c for c in ("prompt", "problem", "question") if c in columns), None)
    answer = next((c for c in ("answer", "reward_model", "solution") if c in columns), None)
    if problem is None or answer is None:
        raise ValueError(
            f"{label} has columns {', '.join(columns)}: expected prompt, problem or question, and answer, "
            "reward_model or solution"
        )

    def make(number: int, row: Any) -> Problem:
        value = _ground_truth(row[answer]) if answer == "reward_model" else row[answer]
        return Problem(
            _problem(row[problem], problem),
            read_reference(value, alternatives=alternatives),
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


def _ground_truth(value: Any) -> Any:
    """Return the reference in verl's reward_model."""
    if value is None:
        return None
    if not isinstance(value, dict) or "ground_truth" not in value:
        raise ValueError(f"reward_model is {described(value)}: expected a ground_truth in it")
    return value["ground_truth"]


def _problem(value: Any, column: str) -> str | list[dict[str, Any]]:
    """Return a problem's text freed of the paper's words around it, or a chat whose messages are text.

    Raises:
        ValueError: missing, empty, or of another type.
    """
    check_prompt(value, column)
    text = without_template(value) if isinstance(value, str) else plain_messages(value)
    if not text:
        raise ValueError(f"{column} is a template without a problem")
    return text
