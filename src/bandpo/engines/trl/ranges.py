"""The range of every option that a run cannot use outside it, looked at before anything is built from the options."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Range(NamedTuple):
    """From `low` to `high`, `low` itself excluded where `is_open`."""

    low: float
    high: float = math.inf
    is_open: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the value is a finite number of the range.

        >>> Range(0, 1).holds(1), Range(0, 1, is_open=True).holds(0), Range(0).holds(math.inf)
        (True, False, False)
        """
        return math.isfinite(value) and (value > self.low if self.is_open else value >= self.low) and value <= self.high

    def __str__(self) -> str:
        below = f"above {self.low:,.15g}" if self.is_open else f"at least {self.low:,.15g}"
        return f"a finite number, {below}" if self.high == math.inf else f"{below}, at most {self.high:,.15g}"


_COUNT = Range(1, 10**9)
_SIZE = Range(1, 10**6)
_POSITIVE = Range(0, is_open=True)
_NOT_NEGATIVE = Range(0)
RANGES = {
    "learning_rate": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "max_grad_norm": _NOT_NEGATIVE,
    "beta": Range(-math.inf),
    "temperature": _POSITIVE,
    "top_p": Range(0, 1, is_open=True),
    "min_p": Range(0, 1),
    "repetition_penalty": _POSITIVE,
    "num_train_epochs": _POSITIVE,
    "max_steps": Range(-1, 10**9),
    "per_device_train_batch_size": _SIZE,
    "per_device_eval_batch_size": _SIZE,
    "gradient_accumulation_steps": _SIZE,
    "steps_per_generation": _SIZE,
    "generation_batch_size": _COUNT,
    "num_iterations": _SIZE,
    "num_generations": _SIZE,
    "max_completion_length": Range(1, 10**7),
    "logging_steps": _POSITIVE,
    "save_steps": _POSITIVE,
    "eval_steps": _POSITIVE,
    "eval_samples": _SIZE,
    "eval_batch_size": _COUNT,
    "evaluate_every": _COUNT,
    "threads": Range(1, 4096),
    "seed": Range(0, 2**32 - 1),
    "data_seed": Range(0, 2**32 - 1),
    "band_top_k": _SIZE,
}


def check_ranges(options: Mapping[str, Any]) -> None:
    """Raise ValueError at the first option whose number is out of its range.

    Args:
        options: values by name; options without a range, and values that are no numbers, are not looked at.

    >>> check_ranges({"temperature": 1.0, "threads": None})
    """
    for name, allowed in RANGES.items():
        value = options.get(name)
        if isinstance(value, (int, float)) and not allowed.holds(value):
            raise ValueError(f"{name}={value!r}: expected {allowed}")
    weights = options.get("reward_weights")
    if isinstance(weights, list) and not all(map(math.isfinite, weights)):
        raise ValueError(f"reward_weights={weights!r}: expected finite numbers")
