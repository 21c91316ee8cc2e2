"""Reward functions of a run: named with the row where they fail, with what they need of the data."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from bandpo.store.reward_calls import await_reward, call_reward
from bandpo.store.reward_columns import ROW


def with_places(reward: Any, name: str, place: Callable[[int], str]) -> Any:
    """Return a reward function that does what this one does, and fails with its name and the row.

    Args:
        reward: TRL's signature, asynchronous or not; a module, which is a reward model, is returned as it is.
        name: dotted path, for errors.
        place: from a row's index to where it is, such as "row 3 of mine.jsonl".

    >>> fails = with_places(lambda completions, **_: 1 / 0, "mine.reward", "row {}".format)
    >>> fails(completions=["a"], bandpo_row=[3])
    Traceback (most recent call last):
    bandpo.store.reward_calls.RewardError: reward 'mine.reward' raised ZeroDivisionError at row 3: division by zero
    """
    if isinstance(reward, torch.nn.Module):
        return reward
    inner = _without_partial(reward)

    def split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        rows = arguments.get(ROW, range(len(arguments["completions"])))
        return {key: value for key, value in arguments.items() if key != ROW}, [place(row) for row in rows]

    async def awaited(**arguments: Any) -> list[float]:
        return await await_reward(reward, *split(arguments), name)

    def called(**arguments: Any) -> list[float]:
        return call_reward(reward, *split(arguments), name)

    is_async = inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004
    checked = functools.update_wrapper(awaited if is_async else called, inner)
    # What TRL calls its metrics after.
    checked.__name__ = getattr(inner, "__name__", type(inner).__name__)
    return checked


def _without_partial(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function
