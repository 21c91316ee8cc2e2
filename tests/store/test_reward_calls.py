"""Reward functions that fail: named, with their row, whatever they raise or give."""

import asyncio
import math
from functools import partial

import numpy as np
import pytest
import torch

from bandpo.evals.grading import grade
from bandpo.store.reward_calls import RewardError, await_reward, call_reward, checked_values, reward_name

PLACES = ["row 3 of a.jsonl", "row 5 of a.jsonl", "row 7 of a.jsonl"]
RAISED = [ValueError("mine"), TypeError("mine"), SystemExit(0), SystemExit("mine"), EOFError("mine"), KeyError("mine"),
          StopIteration("mine"), OSError("mine"), AssertionError("mine"), ZeroDivisionError("mine")]  # fmt: skip


def raising(error, at="b"):
    def reward(completions, **_):
        if at in completions:
            raise error
        return [0.0] * len(completions)

    return reward


def arguments(completions=("a", "b", "c")):
    return {"completions": list(completions), "prompts": ["p"] * len(completions), "trainer_state": None}


@pytest.mark.parametrize("error", RAISED, ids=repr)
def test_what_a_function_raises_names_it_and_the_row(error):
    with pytest.raises(RewardError) as caught:
        call_reward(raising(error), arguments(), PLACES, "mine.reward")
    assert f"reward 'mine.reward' raised {type(error).__name__} at row 5 of a.jsonl" in str(caught.value)
    assert caught.value.__cause__ is error and error.__traceback__.tb_next.tb_frame.f_code.co_name == "reward"


@pytest.mark.parametrize("error", [error for error in RAISED if not isinstance(error, StopIteration)], ids=repr)
def test_nor_does_an_asynchronous_one_escape(error):
    async def reward(completions, **_):
        await asyncio.sleep(0)
        return raising(error)(completions)

    with pytest.raises(RewardError, match=r"at row 5 of a\.jsonl"):
        asyncio.run(await_reward(reward, arguments(), PLACES))
    with pytest.raises(RewardError, match=r"at row 5 of a\.jsonl"):
        call_reward(reward, arguments(), PLACES)


def test_ctrl_c_is_no_failure_of_a_function():
    with pytest.raises(KeyboardInterrupt):
        call_reward(raising(KeyboardInterrupt()), arguments(), PLACES)


def test_where_none_fails_alone_all_rows_are_named():
    def reward(completions, **_):
        if len(completions) > 1:
            raise ValueError("too many")
        return [0.0]

    with pytest.raises(RewardError, match=r"ValueError at one of 3 answers, row 3 of a\.jsonl, row 5 .*: too many"):
        call_reward(reward, arguments(), PLACES)


def test_answers_to_one_prompt_are_one_row():
    with pytest.raises(RewardError, match=r"ValueError at row 3 of a\.jsonl: mine"):
        call_reward(raising(ValueError("mine")), arguments(), [PLACES[0]] * 3)
    with pytest.raises(RewardError, match="ValueError at row 0: mine"):
        call_reward(raising(ValueError("mine"), at="a"), arguments("a"), ["row 0"])


def test_columns_go_with_their_row_and_nothing_is_logged_twice():
    seen, logged = [], []

    def reward(completions, answer, log_metric, trainer_state, **_):
        log_metric("n", len(completions))
        seen.append((completions, answer, trainer_state))
        if "3" in answer:
            raise ValueError
        return [0.0] * len(completions)

    given = {**arguments(), "answer": ["1", "2", "3"], "log_metric": lambda *entry: logged.append(entry)}
    with pytest.raises(RewardError, match=r"raised ValueError at row 7 of a\.jsonl$"):
        call_reward(reward, given, PLACES)
    assert seen[1:] == [(["a"], ["1"], None), (["b"], ["2"], None), (["c"], ["3"], None)]
    assert logged == [("n", 3)]


@pytest.mark.parametrize(
    "values",
    [
        [1, 0.5, True],
        (1.0, 0.5, 1),
        np.array([1, 0.5, 1]),
        torch.tensor([1, 0.5, 1]),
        [np.float32(1), 0.5, torch.ones(())],
    ],
    ids=["list", "tuple", "numpy", "torch", "scalars"],
)
def test_numbers_of_any_kind(values):
    assert checked_values("r", values, PLACES) == [1.0, 0.5, 1.0]


def test_none_and_nan_are_kept_as_nan():
    values = checked_values("r", [None, float("nan"), -1], PLACES)
    assert math.isnan(values[0]) and math.isnan(values[1]) and values[2] == -1.0
    assert all(map(math.isnan, checked_values("r", [None] * 3, PLACES)))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.0, float("inf"), 0.0], r"reward 'r' gave inf for row 5 of a\.jsonl: expected a finite number, or None"),
        ([0.0, 0.0, -math.inf], r"gave -inf for row 7"),
        ([1e39, 0.0, 0.0], r"gave 1e\+39 for row 3"),
        ([0.0, torch.tensor(math.inf), 0.0], "gave inf for row 5"),
        ([0.0, "1.0", 0.0], r"gave a str, '1\.0', for row 5 of a\.jsonl: expected a number, or None"),
        ([0.0, [1.0], 0.0], "gave a list"),
        ([0.0, {}, 0.0], "gave a dict"),
        ([0.0, 1j, 0.0], "gave a complex"),
        ([0.0, 0.0], "gave 2 values for 3 completions"),
        ([], "gave 0 values for 3"),
        ([0.0] * 4, "gave 4 values for 3"),
        (None, "gave a NoneType, None: expected a list with one number per completion"),
        (1.0, r"gave a float, 1\.0: expected a list"),
        ("abc", "gave a str, 'abc': expected a list"),
        ({"a": 1, "b": 2, "c": 3}, "gave a dict"),
    ],
)
def test_what_is_no_reward(values, said):
    with pytest.raises(ValueError, match=said):
        checked_values("r", values, PLACES)


def test_names():
    assert reward_name(grade) == reward_name(partial(grade, columns={})) == "bandpo.evals.grading.grade"
    assert reward_name(Callable()).endswith("test_reward_calls.Callable")


class Callable:
    def __call__(self, completions, **_):
        return [0.0] * len(completions)


def test_grading_names_the_place():
    given = (["p", "p"], ["a", "b"], [[1], [2]], {})
    with pytest.raises(RewardError, match="raised ValueError at answer 1: mine"):
        grade(raising(ValueError("mine")), *given)
    with pytest.raises(RewardError, match="raised ValueError at row 9: mine"):
        grade(raising(ValueError("mine")), *given, places=["row 8", "row 9"])
    assert math.isnan(grade(lambda **_: [None, 1.0], *given)[0])
