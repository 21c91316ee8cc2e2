"""Rewards of completions through a function in TRL's signature."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bandpo.evals.prompts import is_chat

RewardFunction = Callable[..., "list[float] | list[float | None]"]


def grade(
    reward: RewardFunction,
    prompts: Sequence[Any],
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    columns: Mapping[str, Sequence[Any]],
    **more: Any,
) -> list[float]:
    """One number per completion; 0 where the function gave None or NaN.

    Args:
        reward: (completions=..., prompts=..., completion_ids=..., **columns) -> numbers, or a coroutine of them.
        prompts, texts, ids: one each per completion.
        columns: what else the function reads, one value per completion.
        more: handed on as it is.

    Raises:
        ValueError: not one value per completion.

    >>> grade(lambda completions, **_: [len(text) for text in completions], ["1+1"], ["two"], [[2]], {})
    [3.0]
    """
    completions: list[Any] = list(texts)
    if is_chat(prompts[0]):
        completions = [[{"role": "assistant", "content": text}] for text in texts]
    graded: Any = reward(prompts=prompts, completions=completions, completion_ids=ids, **columns, **more)
    if inspect.isawaitable(graded):
        graded = asyncio.run(_wait(graded))
    if len(graded) != len(texts):
        raise ValueError(
            f"the reward function gave {len(graded)} values for {len(texts)} completions: expected as many"
        )
    values = [float(value or 0.0) for value in graded]
    return [0.0 if math.isnan(value) else value for value in values]


async def _wait(value: Any) -> Any:
    return await value
