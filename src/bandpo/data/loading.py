"""Mathematics in one schema: prompt (chat), answer (text), source, id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datasets import Dataset

from bandpo.data.catalogue import DATASETS, MathData
from bandpo.data.reading import read_table
from bandpo.data.templates import get_template, without_template

COLUMNS = ("prompt", "answer", "source", "id")


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
    text = get_template(template)
    data = DATASETS.get(name)
    place = source or (data.hub if data else name)
    option = "source" if source else "dataset"
    table = read_table(
        place,
        split or (data.split if data else "train"),
        config=data.config if data and not source else None,
        option=option,
        expected=f"a path, a Hub id or one of {', '.join(DATASETS)}",
    )
    label = f"{option}={place!r}"
    row_of = _known_rows(data, table, label) if data else _common_rows(name, table, label)
    rows = []
    for number, row in enumerate(table):
        made = row_of(number, row)
        if made is not None:
            rows.append(_checked(made, text, f"{label}, row {number}"))
    if not rows:
        raise ValueError(f"{label}: no row of its {len(table)} belongs to {name}")
    return Dataset.from_dict({column: [row[column] for row in rows] for column in COLUMNS})


def problem_text(prompt: Any) -> str:
    """The problem in a prompt: the last user message, or the text, without the paper's words around it.

    >>> from bandpo.data.loading import problem_text
    >>> problem_text([{"role": "system", "content": "Think."}, {"role": "user", "content": "1 + 1?"}])
    '1 + 1?'
    """
    if not isinstance(prompt, str):
        prompt = next((message["content"] for message in reversed(prompt) if message["role"] == "user"), "")
    return without_template(prompt)


_RowMaker = Callable[[int, Any], "dict[str, Any] | None"]


def _known_rows(data: MathData, table: Dataset, label: str) -> _RowMaker:
    """From a row of a data set of the catalogue to (problem, answer, source, id); None where it does not belong."""
    if set(COLUMNS) <= set(table.column_names):
        return _common_rows(data.name, table, label)
    _require(table, data.columns, label)

    def make(number: int, row: Any) -> dict[str, Any] | None:
        if not data.keep(row):
            return None
        identifier = row.get(data.identifier) if data.identifier else None
        try:
            answer = data.read_answer(row[data.answer])
        except ValueError as error:
            raise ValueError(f"{label}, row {number}: {error}") from None
        return {
            "problem": row[data.problem],
            "answer": answer,
            "source": data.name,
            "id": f"{data.name}/{number if identifier is None else identifier}",
        }

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

    def make(number: int, row: Any) -> dict[str, Any]:
        reference = row[answer]
        return {
            "problem": row[problem],
            "answer": reference["ground_truth"] if isinstance(reference, dict) else reference,
            "source": row.get("source") or row.get("data_source") or name,
            "id": str(row["id"]) if row.get("id") is not None else f"{name}/{number}",
        }

    return make


def _require(table: Dataset, columns: tuple[str, ...], label: str) -> None:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise ValueError(
            f"{label} has columns {', '.join(table.column_names)}: expected {', '.join(columns)} too, "
            f"{', '.join(missing)} missing"
        )


def _checked(row: dict[str, Any], template: str, label: str) -> dict[str, Any]:
    """The row in the schema, its problem made a chat.

    Raises:
        ValueError: an empty problem or answer.
    """
    problem, answer = row["problem"], row["answer"]
    if not problem or answer is None or not str(answer).strip():
        raise ValueError(f"{label}: expected a problem and an answer, got {problem!r:.60} and {answer!r:.60}")
    if isinstance(problem, str):
        problem = [{"role": "user", "content": template.format(problem=without_template(problem))}]
    return {"prompt": problem, "answer": str(answer).strip(), "source": str(row["source"]), "id": row["id"]}
