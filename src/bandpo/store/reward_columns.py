"""The columns of data that reward functions ask for by name, and those that are not theirs to have."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from bandpo.store.reward_calls import FROM_TRL

# The column that tells a reward's call which rows it has; taken away before the function sees it.
ROW = "bandpo_row"
# Columns that TRL keeps to itself.
_KEPT = ("completion",)


def check_columns(dotted: str, reward: Any, label: str, columns: Sequence[str]) -> None:
    """Raise ValueError where a data set lacks a column that a reward asks for by name, or has one that is TRL's own.

    Args:
        dotted: of the reward, for errors.
        reward: the function.
        label: the data set's option and value, for errors.
        columns: of the data set.
    """
    try:
        parameters = inspect.signature(reward).parameters
    except ValueError:
        raise ValueError(f"reward={dotted!r} has no signature: expected a function (completions, **columns)") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    asked = {
        name: parameter.default is inspect.Parameter.empty
        for name, parameter in parameters.items()
        if parameter.kind in named and name not in FROM_TRL
    }
    kinds = {parameter.kind for parameter in parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        raise ValueError(f"reward={dotted!r} takes no **columns: expected the signature (completions, **columns)")
    for column in columns:
        if column in FROM_TRL or column == ROW:
            raise ValueError(f"{label} has a column {column!r}, which rewards get from TRL: expected another name")
        if column in _KEPT and column in asked:
            raise ValueError(
                f"reward={dotted!r} needs a column {column!r}, which TRL hands to no reward: expected another name, in "
                f"{label} too"
            )
    for name, is_needed in asked.items():
        if is_needed and name not in columns:
            raise ValueError(f"reward={dotted!r} needs a column {name!r}: {label} has {', '.join(columns)}")
