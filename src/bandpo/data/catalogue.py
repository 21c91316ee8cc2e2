"""The data sets that are known by name: where they are, and which columns hold what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bandpo.data.references import reference

Row = Mapping[str, Any]


@dataclass(frozen=True)
class MathData:
    """A data set of problems with checkable answers.

    Attributes:
        name: what `bandpo data` calls it.
        hub: its id on the Hub.
        split: the split to take.
        problem, answer: columns of the two.
        size: problems in it, from its authors' cards.
        about: one line.
        config: configuration on the Hub, None where there is only one.
        identifier: column of an id, None to number the rows.
        also: columns that `keep` reads.
        keep: which rows belong to it.
        read_answer: from the answer column's value to the answer.
    """

    name: str
    hub: str
    split: str
    problem: str
    answer: str
    size: str
    about: str
    config: str | None = None
    identifier: str | None = None
    also: tuple[str, ...] = ()
    keep: Callable[[Row], bool] = lambda row: True
    read_answer: Callable[[Any], str] = reference

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that a file of it must have."""
        return (self.problem, self.answer, *self.also)


def competition_integer(value: Any) -> str:
    """Return AIME's answer without the zeros that some copies write before it, which an exact match would miss.

    Raises:
        ValueError: not an integer from 0 to 999.

    >>> from bandpo.data.catalogue import competition_integer
    >>> competition_integer("033")
    '33'
    """
    text = reference(value)
    if not (text.isascii() and text.isdigit() and int(text) <= 999):
        raise ValueError(f"answer {text!r}: expected an integer from 0 to 999")
    return str(int(text))


def level(row: Row) -> int:
    """Return the level of a MATH row, written `5` or `Level 5`; 0 where it is unknown ("Level ?").

    >>> from bandpo.data.catalogue import level
    >>> level({"level": 4}), level({"level": "Level 3"}), level({"level": "Level ?"})
    (4, 3, 0)
    """
    text = str(row["level"]).removeprefix("Level").strip()
    return int(text) if text.isdigit() else 0


def last_line_answer(value: Any) -> str:
    """Return GSM8K's answer: what follows #### at the end of its solution, without thousands separators.

    Raises:
        ValueError: no #### in it.

    >>> from bandpo.data.catalogue import last_line_answer
    >>> last_line_answer("48 / 2 = <<48/2=24>>24\\n#### 1,024")
    '1024'
    """
    _, mark, answer = reference(value).rpartition("####")
    if not mark or not answer.strip():
        raise ValueError(f"answer {str(value)[-60:]!r}: expected a line '#### ANSWER' at its end")
    return answer.strip().replace(",", "")


DATASETS = {
    data.name: data
    for data in (
        MathData(
            "dapo-math-17k", "open-r1/DAPO-Math-17k-Processed", "train", "prompt", "solution", "14,116",
            "DAPO's problems in English, without duplicates; integer answers; the paper trains on it", config="en",
        ),
        MathData(
            "dapo-math-17k-all", "open-r1/DAPO-Math-17k-Processed", "train", "prompt", "solution", "17,398",
            "the same with the Chinese problems", config="all",
        ),
        MathData(
            "math-3to5", "nlile/hendrycks-MATH-benchmark", "train", "problem", "answer", "about 8,900",
            "MATH, training problems of levels 3 to 5; the paper trains on it",
            identifier="unique_id", also=("level",), keep=lambda row: level(row) >= 3,
        ),
        MathData(
            "math500", "HuggingFaceH4/MATH-500", "test", "problem", "answer", "500",
            "MATH, the 500 test problems of Let's Verify Step by Step", identifier="unique_id",
        ),
        MathData(
            "aime24", "HuggingFaceH4/aime_2024", "train", "problem", "answer", "30",
            "AIME I and II, 2024; integers 0 to 999", identifier="id", read_answer=competition_integer,
        ),
        MathData(
            "aime25", "math-ai/aime25", "test", "problem", "answer", "30",
            "AIME I and II, 2025; integers 0 to 999", identifier="id", read_answer=competition_integer,
        ),
        MathData(
            "amc23", "math-ai/amc23", "test", "question", "answer", "40",
            "AMC 12, 2023, as open questions", identifier="id",
        ),
        MathData(
            "gsm8k", "openai/gsm8k", "train", "question", "answer", "7,473",
            "school problems, training part", config="main", read_answer=last_line_answer,
        ),
        MathData(
            "gsm8k-test", "openai/gsm8k", "test", "question", "answer", "1,319",
            "school problems, test part", config="main", read_answer=last_line_answer,
        ),
    )
}  # fmt: skip
