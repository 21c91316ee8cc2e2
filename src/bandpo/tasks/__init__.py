"""Tasks: verifiable problems to train on, each with its data, reward and warm-started policy.

An embedded task is a name that `--dataset` takes in place of a path or a Hub id; `POLICIES` has those of `--model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandpo.tasks import countdown

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Task:
    """An embedded task.

    Attributes:
        name: what `--dataset` calls it, and `--model` its first policy.
        policy_path: folder of the policy that ships with the package.
        training: (count, seed) -> columns of that many problems to train on.
        held_out: columns of the problems to evaluate on.
        describe: completions -> shares worth watching, by name.
        reward: TRL's signature, 1.0 where an answer is right.
        answer: the answer in a completion, None where there is none; equal ones are votes for the same.
        answer_tokens: every answer's length, None where answers end themselves.
    """

    name: str
    policy_path: Callable[[], Path]
    training: Callable[[int, int], Columns]
    held_out: Callable[[], Columns]
    describe: Callable[[Sequence[str]], dict[str, float]]
    reward: Callable[..., list[float]]
    answer: Callable[[str], str | None]
    answer_tokens: int | None


TASKS = {
    "countdown": Task(
        "countdown",
        countdown.policy_path,
        lambda count, seed: {"prompt": [problem.prompt for problem in countdown.training_problems(count, seed)]},
        lambda: {"prompt": [problem.prompt for problem in countdown.held_out_problems()]},
        countdown.describe,
        countdown.reward,
        lambda text: text if countdown.is_well_formed(text) else None,
        countdown.ANSWER_TOKENS,
    )
}

# Warm-started policies that ship with the package, by what `--model` calls them.
POLICIES = {start: countdown.policy_path(start) for start in countdown.STARTS}
