"""Rewards of completions that were drawn: from texts and rows to a reward function in TRL's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bandpo.evals.generation.prompts import is_chat
from bandpo.store.reward_calls import call_reward

RewardFunction = Callable[..., "list[float] | list[float | None]"]


def grade(
    reward: RewardFunction,
    prompts: Sequence[Any],
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    columns: Mapping[str, Sequence[Any]],
    *,
    places: Sequence[str] = (),
    **more: Any,
) -> list[float]:
    """Return one number per completion; NaN where the function gave None or NaN, since it does not apply there.

    Args:
        reward: (completions=..., prompts=..., completion_ids=..., **columns) -> numbers, or a coroutine of them.
        prompts, texts, ids: one each per completion.
        columns: what else the function reads, one value per completion.
        places: where each completion's row is, for errors; "answer 0" and so on if empty.
        more: handed on as it is.

    Raises:
        RewardError: the function raised an error.
        ValueError: not one value per completion, or a value that is no number or infinite.

    >>> grade(lambda completions, **_: [len(text) for text in completions], ["1+1"], ["two"], [[2]], {})
    [3.0]
    """
    completions: list[Any] = list(texts)
    if is_chat(prompts[0]):
        completions = [[{"role": "assistant", "content": text}] for text in texts]
    arguments = {"prompts": prompts, "completions": completions, "completion_ids": ids, **columns, **more}
    return call_reward(reward, arguments, places or [f"answer {number}" for number in range(len(texts))])
