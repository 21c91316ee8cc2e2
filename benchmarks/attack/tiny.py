"""The commands that are attacked: runs as small as they get, with everything in them that a large one has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRAIN: dict[str, Any] = {
    "per_device_train_batch_size": 16,
    "num_generations": 8,
    "steps_per_generation": 2,
    "max_steps": 24,
    "evaluate_every": 1,
    "eval_samples": 2,
    "logging_steps": 2,
    "save_steps": 4,
    "save_total_limit": 2,
    "learning_rate": 1e-3,
}
EVAL: dict[str, Any] = {"n": 4, "limit": 24, "batch-size": 8, "k": "1,4"}
COMPARE: dict[str, Any] = {"methods": "grpo,band-kl", "seeds": "7,8", "jobs": 2}

# A reward whose second half is right only if the grading processes answer.
GRADED = r"""
from bandpo.rewards import math_reward
from bandpo.tasks.countdown import reward


def graded(completions, **columns):
    shifts = [sum(map(ord, text)) % 97 for text in completions]
    answers = [rf"\boxed{{(x+{i})^2}}" for i in shifts]
    references = [f"x^2+{2 * i}*x+{i * i}" for i in shifts]
    algebra = math_reward(answers, answer=references)
    return [a + b for a, b in zip(reward(completions=completions, **columns), algebra)]
"""


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as flags.

    >>> flags({"n": 4})
    ['--n=4']
    """
    return [f"--{name}={value}" for name, value in options.items()]


def train(**changed: Any) -> list[str]:
    """Arguments of a tiny run in the folder `run`."""
    return ["train", *flags({**TRAIN, "output_dir": "run", **changed})]


def evaluate(**changed: Any) -> list[str]:
    """Arguments of a tiny evaluation in the folder `run`."""
    return ["eval", *flags({**EVAL, "output-dir": "run", **changed})]


def compare(**changed: Any) -> list[str]:
    """Arguments of a tiny comparison in the folder `run`."""
    of_train = {**TRAIN, "max_steps": 12}
    return ["compare", *flags({**COMPARE, "out": "run", **changed}), *flags(of_train)]
