"""Tasks to evaluate on: problems with what grades their answers, from an embedded task, a math set or a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bandpo.core.checks import suggestion
from bandpo.data import DATASETS, load
from bandpo.data.messages import check_prompt
from bandpo.data.reading import read_table, split_names
from bandpo.data.rows import BadRows, Inspection, find_bad_rows
from bandpo.evals.grading import RewardFunction
from bandpo.rewards import math_reward
from bandpo.rewards.answer_line import answer_line, normalised
from bandpo.rewards.answers import final_answer
from bandpo.store.reward_calls import FROM_TRL
from bandpo.store.reward_columns import check_columns
from bandpo.store.sources import reward_source
from bandpo.tasks import TASKS

MATH_REWARD, ANSWER_LINE_REWARD = "bandpo.rewards.math_reward", "bandpo.rewards.answer_line_reward"
_MATH_TOKENS = 4096


@dataclass(frozen=True)
class EvalTask:
    """The problems of one task, and how their answers are read and graded.

    Attributes:
        name: short, of results and files.
        source: where the problems are from, as the user wrote it.
        prompts: text or chat messages, one a problem.
        columns: what the reward function reads besides.
        ids: of the problems.
        reward: TRL's signature.
        reward_name: its dotted path.
        answer: completion -> the answer that votes, None where there is none.
        has_reference: whether a problem has one right answer, so that all right completions vote for the same.
        max_tokens: of an answer, unless the user says otherwise.
        fixed_length: whether every answer has that length and none ends itself.
        describe: completions -> shares worth watching.
    """

    name: str
    source: str
    prompts: list[Any]
    columns: dict[str, list[Any]]
    ids: list[str]
    reward: RewardFunction
    reward_name: str
    answer: Callable[[str], str | None]
    has_reference: bool
    max_tokens: int = _MATH_TOKENS
    fixed_length: bool = False
    describe: Callable[[Sequence[str]], dict[str, float]] | None = field(default=None)

    def place(self, problem: int) -> str:
        """Return where a problem is, for errors."""
        return f"problem {problem} of {self.source} (id {self.ids[problem]})"

    def digest(self) -> str:
        """Return a hash of prompts and columns: two evaluations of equal hash asked the same."""
        content = json.dumps([self.prompts, self.columns, self.ids], sort_keys=True, default=str, ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()


def load_tasks(
    text: str, *, reward: str | None = None, template: str | None = None, limit: int | None = None
) -> list[EvalTask]:
    """Return the tasks named between commas.

    Args:
        text: embedded tasks; math sets by name, or NAME=PATH for a copy of one's own; files, folders or Hub ids.
        reward: dotted function that grades all but embedded tasks; math_reward if None.
        template: of problems that are text, "boxed" if None.
        limit: at most so many problems of each.

    Raises:
        ValueError: a task that is not found, twice the same, or an option that no task takes; a column that TRL
            has for itself; or `BadRows`, rows whose prompt or answer cannot be read.
        ModuleNotFoundError: mathematics without python-flint, before anything is generated.

    >>> [(task.name, len(task.prompts), task.reward_name) for task in load_tasks("countdown", limit=5)]
    [('countdown', 5, 'bandpo.tasks.countdown.reward')]
    """
    names = split_names(text)
    if not names:
        raise ValueError(f"tasks={text!r}: expected names or files with commas between, such as countdown,aime24")
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit}: expected at least 1")
    for option, value in (("reward", reward), ("template", template)):
        if value is not None and all(name in TASKS for name in names):
            raise ValueError(f"{option}={value!r}: {text} has its own, expected none")
    tasks = [_embedded(name, limit) if name in TASKS else _mathematics(name, reward, template, limit) for name in names]
    labels = [task.name for task in tasks]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"tasks={text!r}: {label} twice, expected different names")
    return tasks


def _embedded(name: str, limit: int | None) -> EvalTask:
    task = TASKS[name]
    columns = {column: values[:limit] for column, values in task.held_out().items()}
    prompts = columns.pop("prompt")
    reward_name = f"{task.reward.__module__}.{task.reward.__qualname__}"
    return EvalTask(
        name,
        name,
        prompts,
        columns,
        [f"{name}/{number}" for number in range(len(prompts))],
        task.reward,
        reward_name,
        task.answer,
        has_reference=False,
        max_tokens=task.answer_tokens or _MATH_TOKENS,
        fixed_length=task.answer_tokens is not None,
        describe=task.describe,
    )


def _mathematics(name: str, reward: str | None, template: str | None, limit: int | None) -> EvalTask:
    """Load a math set or a file; with a reward function of one's own, the rows of a file as they are."""
    known, _, copy = name.partition("=")
    known, copy = (known, copy) if known in DATASETS else (name, "")
    graded_here = reward in (None, MATH_REWARD, ANSWER_LINE_REWARD)
    as_it_is = known not in DATASETS and not graded_here
    if as_it_is and template is not None:
        raise ValueError(f"template={template!r}: rows of {name} go to {reward} as they are, expected no template")
    if reward in (None, MATH_REWARD) and find_spec("flint") is None:
        raise ModuleNotFoundError("grading needs python-flint: pip install 'bandpo[math]'", name="flint")
    is_name = "/" not in known and not Path(known).suffix and not Path(known).exists()
    if is_name and known not in DATASETS:
        near = suggestion(known, [*TASKS, *DATASETS])
        raise ValueError(f"tasks: {known!r} is no task, data set, file or folder{near}; expected {_EXPECTED}")
    function = math_reward if reward is None else reward_source(reward)
    try:
        if as_it_is:
            table = read_table(name, "test", expected=_EXPECTED)
        else:
            # Rewards of mathematics read a list as alternatives.
            table = load(known, copy or None, template=template or "boxed", alternatives=True)
    except BadRows:
        raise
    except ValueError as error:
        raise ValueError(f"tasks: {error}") from error
    if "prompt" not in table.column_names:
        raise ValueError(f"tasks={name!r} has columns {', '.join(table.column_names)}: expected one named 'prompt'")
    columns: dict[str, list[Any]] = {column: list(table[column][:limit]) for column in table.column_names}
    _check_rows(name, columns, function)
    if reward is not None:
        check_columns(reward, function, f"tasks={name!r}", table.column_names)
    prompts = columns.pop("prompt")
    ids = [str(value) for value in columns.pop("id", range(len(prompts)))]
    return EvalTask(
        _label(known),
        name,
        prompts,
        columns,
        ids,
        function,
        reward or MATH_REWARD,
        _answer_reader(reward),
        has_reference=graded_here,
    )


def _check_rows(name: str, columns: dict[str, list[Any]], reward: RewardFunction) -> None:
    """Raise ValueError at columns that are TRL's own, and at rows that cannot be asked or graded."""
    for column in FROM_TRL:
        if column in columns:
            raise ValueError(
                f"tasks={name!r} has a column {column!r}, which rewards get from TRL: expected another name"
            )
    checks: dict[str, list[Callable[[Any], object]]] = {"prompt": [check_prompt]}
    check_answer = getattr(reward, "check_answer", None)
    if check_answer is not None and "answer" in columns:
        checks["answer"] = [check_answer]
    bad = find_bad_rows(columns, checks)
    if bad:
        raise BadRows(
            [Inspection(f"tasks={name!r}", len(columns["prompt"]), bad)], "Mend these rows, or take them out."
        )


def _answer_reader(reward: str | None) -> Callable[[str], str | None]:
    """Return the function that reads the answers of completions that this reward function grades."""
    if reward == ANSWER_LINE_REWARD:
        return read_answer_line
    return read_marked_answer if reward in (None, MATH_REWARD) else read_any_answer


def read_marked_answer(text: str) -> str | None:
    r"""Return the last boxed answer or answer line, cleaned up as in Minerva; None where there is neither.

    >>> read_marked_answer(r"So $\boxed{\frac12}$."), read_marked_answer("It is 3.")
    ('\\frac{1}{2}', None)
    """
    answer = final_answer(text)
    return (normalised(answer.text) or None) if answer.is_marked else None


def read_answer_line(text: str) -> str | None:
    """Return what the rule of the paper's runs takes for the answer, None without an "Answer:" line.

    >>> read_answer_line("Answer: 1,024"), read_answer_line("1024")
    ('1024', None)
    """
    line = answer_line(text)
    return None if line is None else normalised(line) or None


def read_any_answer(text: str) -> str | None:
    """Return the marked answer where there is one, else the whole completion; None where it is empty.

    >>> read_any_answer(" 42 "), read_any_answer("")
    ('42', None)
    """
    return read_marked_answer(text) or text.strip() or None


def _label(name: str) -> str:
    path = Path(name)
    return path.stem if path.exists() else name.replace("/", "--")


_EXPECTED = f"an embedded task ({', '.join(TASKS)}), a math set ({', '.join(DATASETS)}), a file, a folder or a Hub id"
