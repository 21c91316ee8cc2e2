"""A run's reward functions: what TRL sees of them, the row where they fail, the columns they ask for."""

import functools
import inspect
import math

import pytest
import torch

from bandpo.runs.training.rewards import with_places
from bandpo.store.reward_calls import RewardError
from bandpo.store.reward_columns import ROW, check_columns


def plain(completions, answer, **_):
    if "bad" in answer:
        raise ValueError("mine")
    return [float(a == c) for a, c in zip(answer, completions, strict=True)]


async def later(completions, answer, **_):
    return plain(completions, answer)


class Judge:
    def __call__(self, completions, answer, **_):
        return plain(completions, answer)


GIVEN = {"completions": ["1", "2"], "answer": ["1", "3"], ROW: [7, 9]}
BAD = {**GIVEN, "answer": ["1", "bad"]}


def place(row):
    return f"row {row} of a.jsonl"


@pytest.mark.parametrize(
    ("reward", "name"),
    [(plain, "plain"), (functools.partial(plain), "plain"), (Judge(), "Judge")],
    ids=["function", "partial", "object"],
)
def test_a_function_gives_what_it_gave_and_fails_with_its_row(reward, name):
    wrapped = with_places(reward, "mine.reward", place)
    assert wrapped.__name__ == name and not inspect.iscoroutinefunction(wrapped)
    assert wrapped(**GIVEN) == [1.0, 0.0]
    with pytest.raises(RewardError, match=r"reward 'mine.reward' raised ValueError at row 9 of a\.jsonl: mine"):
        wrapped(**BAD)


@pytest.mark.parametrize("reward", [later, functools.partial(later)], ids=["function", "partial"])
def test_an_asynchronous_one_stays_one(reward):
    import asyncio

    wrapped = with_places(reward, "mine.reward", place)
    assert wrapped.__name__ == "later" and inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped(**GIVEN)) == [1.0, 0.0]
    with pytest.raises(RewardError, match=r"at row 9 of a\.jsonl"):
        asyncio.run(wrapped(**BAD))


def test_a_reward_model_is_left_to_trl():
    model = torch.nn.Linear(1, 1)
    assert with_places(model, "mine.model", place) is model


def test_none_is_nan_and_the_row_is_no_column():
    seen = {}

    def reward(completions, **columns):
        seen.update(columns)
        return [None, 1]

    first, second = with_places(reward, "mine.reward", place)(**GIVEN)
    assert math.isnan(first) and second == 1.0 and seen == {"answer": ["1", "3"]}


def test_an_infinite_reward_names_function_and_row():
    wrapped = with_places(lambda completions, **_: [0.0, math.inf], "mine.reward", place)
    with pytest.raises(ValueError, match=r"reward 'mine.reward' gave inf for row 9 of a\.jsonl"):
        wrapped(**GIVEN)


def reward_of(*, completions=None, prompts=None, answer, hint="", completion=None, **more):
    """Columns by name: one it needs, two it may get."""


@pytest.mark.parametrize("columns", [["prompt", "answer"], ["prompt", "answer", "hint", "id", "images"]])
def test_columns_that_fit(columns):
    check_columns("m.r", reward_of, "dataset='a'", columns)


def test_a_completion_column_that_no_reward_asks_for_is_left_alone():
    check_columns("m.r", plain, "dataset='a'", ["prompt", "answer", "completion"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["prompt"], "reward='m.r' needs a column 'answer': dataset='a' has prompt"),
        (["prompt", "answer", "completions"], "dataset='a' has a column 'completions', which rewards get from TRL"),
        (["prompt", "answer", "prompts"], "a column 'prompts'"),
        (["prompt", "answer", "completion_ids"], "a column 'completion_ids'"),
        (["prompt", "answer", "trainer_state"], "a column 'trainer_state'"),
        (["prompt", "answer", "log_metric"], "a column 'log_metric'"),
        (["prompt", "answer", "log_extra"], "a column 'log_extra'"),
        (["prompt", "answer", "environments"], "a column 'environments'"),
        (["prompt", "answer", ROW], f"a column '{ROW}'"),
        (["prompt", "answer", "completion"], "needs a column 'completion', which TRL hands to no reward"),
    ],
)
def test_columns_that_do_not(columns, said):
    with pytest.raises(ValueError, match=said):
        check_columns("m.r", reward_of, "dataset='a'", columns)


@pytest.mark.parametrize("reward", [lambda: [], lambda completions: [], lambda completions, prompts=None: [], int])
def test_a_function_that_takes_no_columns_is_refused_before_any_rollout(reward):
    with pytest.raises(ValueError, match="expected"):
        check_columns("m.r", reward, "dataset='a'", ["prompt"])
