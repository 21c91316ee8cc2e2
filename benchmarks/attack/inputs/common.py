"""What the cases share: a small run on the embedded task, a small run on rows of one's own, and their files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.attack import tiny

# Two updates: what is accepted by mistake is trained in a second.
SMALL: dict[str, Any] = {**tiny.TRAIN, "max_steps": 2, "save_steps": 100, "logging_steps": 1}
OWN: dict[str, Any] = {
    **SMALL,
    "model": "countdown",
    "gradient_accumulation_steps": 1,
    "max_completion_length": 7,
    "beta": 0.0,
    "threads": 1,
}
ZERO = "def zero(completions, **columns):\n    return [float(len(text) % 2) for text in completions]\n"
NUMBERS = (3, 7, 11, 2)
# Eight lists, each of nine times the one before: 43 million entries in a kilobyte.
NESTED = "[&a0 [x, x, x, x, x, x, x, x, x], " + ", ".join(
    f"&a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 8)
)
NESTED += "]"


def small_train(*more: str) -> tuple[str, ...]:
    """`bandpo train` on the embedded task for two updates; an option in `more` replaces its default."""
    return _arguments(SMALL, more)


def own_train(*more: str) -> tuple[str, ...]:
    """`bandpo train` on rows of one's own for two updates."""
    return _arguments(OWN, more)


def _arguments(options: Mapping[str, Any], more: Sequence[str]) -> tuple[str, ...]:
    given = {part.lstrip("-").partition("=")[0].replace("-", "_") for part in more if part.startswith("--")}
    kept = {name: value for name, value in {**options, "output_dir": "run"}.items() if name not in given}
    return ("train", *tiny.flags(kept), *more)


def prompts(count: int = 64) -> list[str]:
    """Countdown problems as their policy reads them.

    >>> prompts(1)
    ['3 7 11 2 -> 13']
    """
    return [f"{' '.join(map(str, NUMBERS))} -> {13 + number % 60}" for number in range(count)]


def good_rows(count: int = 64) -> list[dict[str, Any]]:
    """Rows on which every run works."""
    return [{"prompt": prompt, "answer": prompt.split()[-1]} for prompt in prompts(count)]


def json_lines(rows: Sequence[Any]) -> str:
    """Rows as a .jsonl file."""
    return "".join(json.dumps(row) + "\n" for row in rows)


# What the recipe `countdown` says besides, which a recipe of one's own replaces whole.
_RECIPE: dict[str, Any] = {
    "method": "band-kl",
    "loss_type": "grpo",
    "beta": 0.0,
    "num_iterations": 2,
    "max_completion_length": 7,
    "lr_scheduler_type": "constant",
    "report_to": "none",
    "use_cpu": "true",
    "bf16": "false",
    "threads": 1,
    "gradient_checkpointing": "false",
}


def config(text: str = "", without: Sequence[str] = ()) -> str:
    """A YAML recipe of the small run with these lines after it, and without the options that they replace."""
    kept = {name: value for name, value in {**SMALL, **_RECIPE}.items() if name not in without}
    return "".join(f"{name}: {value}\n" for name, value in kept.items()) + text
