"""Calls of reward functions: what they must give, and which function and row it was where they fail."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bandpo.data.references import described

# What TRL hands to every reward function; a data set's column of that name would be lost, or given twice.
FROM_TRL = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments")
# Rewards are float32 in training.
_LARGEST = 3.4028234663852886e38
# What is no failure of a function: Ctrl-C, and the end of the task it runs in.
_PASSED_ON = (KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)


class RewardError(RuntimeError):
    """A reward function that raised an error: its name and the row; the error itself is the cause."""


class RewardValueError(ValueError):
    """A reward function that gave something else than one finite number or None for each completion."""


def call_reward(reward: Any, arguments: Mapping[str, Any], places: Sequence[str], name: str = "") -> list[float]:
    """Return what a reward function gives, one number per completion, NaN where it does not apply.

    Args:
        reward: TRL's signature, -> numbers or None, or a coroutine of them.
        arguments: by name; a list of as many entries as places has one for each completion.
        places: where each completion's row is, for errors, such as "row 3 of mine.jsonl".
        name: of the function, for errors; its dotted path if empty.

    Raises:
        RewardError: the function raised an error, SystemExit included; it says which row alone raises one too.
        RewardValueError: as `checked_values`.

    >>> call_reward(lambda completions: [len(text) for text in completions], {"completions": ["two"]}, ["row 0"])
    [3.0]
    """
    name = name or reward_name(reward)
    try:
        values = _finished(reward(**arguments))
    except _PASSED_ON:
        raise
    except BaseException as error:
        for place, alone in _one_by_one(arguments, places):
            try:
                _finished(reward(**alone))
            except _PASSED_ON:
                raise
            except BaseException:
                raise _failure(name, error, [place]) from error
        raise _failure(name, error, places) from error
    return checked_values(name, values, places)


async def await_reward(reward: Any, arguments: Mapping[str, Any], places: Sequence[str], name: str = "") -> list[float]:
    """Return what an asynchronous reward function gives; arguments and errors as those of `call_reward`."""
    name = name or reward_name(reward)
    try:
        values = await reward(**arguments)
    except _PASSED_ON:
        raise
    except BaseException as error:
        for place, alone in _one_by_one(arguments, places):
            try:
                await reward(**alone)
            except _PASSED_ON:
                raise
            except BaseException:
                raise _failure(name, error, [place]) from error
        raise _failure(name, error, places) from error
    return checked_values(name, values, places)


def checked_values(name: str, values: Any, places: Sequence[str]) -> list[float]:
    """Return rewards as floats, NaN for None, which says that the function does not apply.

    Args:
        name: of the function, for errors.
        values: what it gave.
        places: where each completion's row is, for errors.

    Raises:
        RewardValueError: not one value per completion, or a value that is no number or not finite in float32.

    >>> checked_values("mine.reward", [1, None, True], ["row 0", "row 1", "row 2"])
    [1.0, nan, 1.0]
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise RewardValueError(
            f"reward {name!r} gave {described(values)}: expected a list with one number per completion"
        )
    listed = list(values)
    if len(listed) != len(places):
        raise RewardValueError(
            f"reward {name!r} gave {len(listed)} values for {len(places)} completions: expected as many"
        )
    return [_checked(name, value, place) for value, place in zip(listed, places, strict=True)]


def reward_name(reward: Any) -> str:
    """Return the dotted path of a function, or the type of another callable.

    >>> reward_name(math.sqrt)
    'math.sqrt'
    """
    reward = getattr(reward, "func", reward)
    named = reward if hasattr(reward, "__qualname__") else type(reward)
    return f"{named.__module__}.{named.__qualname__}"


def _checked(name: str, value: Any, place: str) -> float:
    if value is None:
        return math.nan
    try:
        number = math.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError):
        number = None
    except OverflowError:
        number = math.inf
    if number is None or isinstance(value, (str, bytes)):
        raise RewardValueError(f"reward {name!r} gave {described(value)}, for {place}: expected a number, or None")
    if abs(number) > _LARGEST:
        raise RewardValueError(
            f"reward {name!r} gave {number} for {place}: expected a finite number, or None where it does not apply"
        )
    return number


def _finished(values: Any) -> Any:
    return asyncio.run(_wait(values)) if inspect.isawaitable(values) else values


async def _wait(value: Any) -> Any:
    return await value


def _one_by_one(arguments: Mapping[str, Any], places: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each completion by itself, with nothing logged; together as much work as the call that failed."""
    quiet = {name: _log_nothing for name in ("log_extra", "log_metric") if name in arguments}
    for number, place in enumerate(places if len(places) > 1 else ()):
        yield place, {name: _entry(value, number, len(places)) for name, value in {**arguments, **quiet}.items()}


def _entry(value: Any, number: int, count: int) -> Any:
    return [value[number]] if isinstance(value, (list, tuple)) and len(value) == count else value


def _log_nothing(name: str, value: Any) -> None:
    """Ignore what is logged: a second call with the same completions has nothing new to log."""


def _failure(name: str, error: BaseException, places: Sequence[str]) -> RewardError:
    where = f"at {places[0]}" if len(set(places)) == 1 else f"at one of {len(places)} answers, {_listed(places)}"
    return RewardError(f"reward {name!r} raised {type(error).__name__} {where}: {error}".rstrip(": "))


def _listed(places: Sequence[str]) -> str:
    different = list(dict.fromkeys(places))
    return ", ".join(different[:8]) + (f" and {len(different) - 8} more" if len(different) > 8 else "")
