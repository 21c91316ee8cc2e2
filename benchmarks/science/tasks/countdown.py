"""Countdown as tensors: the same problems and rewards as `bandpo.tasks.countdown`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor

from bandpo.tasks import countdown
from bandpo.tasks.countdown import Problem
from benchmarks.science.tasks.task import Task

WORDS = (
    countdown.END,
    countdown.SEPARATOR,
    *countdown.OPERATORS,
    *(str(number) for number in range(1, countdown.LARGEST_TARGET + 1)),
)
INDEX = {word: index for index, word in enumerate(WORDS)}
PLUS, MINUS, TIMES = (INDEX[word] for word in countdown.OPERATORS)
ZERO = INDEX["1"] - 1  # a number's token less this is the number
_HELD_OUT_SEED = 2030


def rewards(problems: Tensor, answers: Tensor) -> Tensor:
    """Return 1.0 where the answer uses each number of its prompt once and reaches the target, else 0.0.

    Args:
        problems, answers: (..., 6) and (..., 7) tokens.

    >>> rewards(PRODUCTS.encode(["1 2 3 4 -> 19"]), PRODUCTS.encode(["2 + 3 * 4 - 1"]))
    tensor([1.])
    """
    numbers, operators = answers[..., ::2] - ZERO, answers[..., 1::2]
    asked = problems[..., :4] - ZERO
    value = numbers[..., 0]
    for operator, number in zip(operators.unbind(-1), numbers[..., 1:].unbind(-1), strict=True):
        changed = torch.where(operator == PLUS, value + number, value - number)
        value = torch.where(operator == TIMES, value * number, changed)
    is_right = is_well_formed(problems, answers) & (numbers.sort(-1).values == asked.sort(-1).values).all(-1)
    return (is_right & (value == problems[..., 5] - ZERO)).float()


def is_well_formed(problems: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer alternates numbers and operators.

    >>> is_well_formed(torch.zeros(2, 6), PRODUCTS.encode(["2 + 3 * 4 - 1", "2 + + * 4 - 1"]))
    tensor([ True, False])
    """
    numbers, operators = answers[..., ::2], answers[..., 1::2]
    return (numbers > ZERO).all(-1) & ((operators >= PLUS) & (operators <= TIMES)).all(-1)


def multiplies(problems: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer has the rare operator.

    >>> multiplies(torch.zeros(2, 6), PRODUCTS.encode(["2 + 3 * 4 - 1", "2 + 3 + 4 - 1"]))
    tensor([ True, False])
    """
    return (answers == TIMES).any(-1)


@lru_cache
def _held_out_sums() -> tuple[Problem, ...]:
    """Return 128 different problems."""
    known = {problem.key: problem for problem in islice(_sums(_HELD_OUT_SEED), 256)}
    return tuple(known.values())[:128]


def _training_sums(count: int, seed: int) -> Tensor:
    """Return problems of which none is held out."""
    excluded = {problem.key for problem in _held_out_sums()}
    found = islice((problem for problem in _sums(seed) if problem.key not in excluded), count)
    return SUMS.encode(problem.prompt for problem in found)


def _sums(seed: int) -> Iterator[Problem]:
    """Yield problems whose targets + and - alone have made."""
    return countdown.problems(seed, (1, 1, 0))


def _training_products(count: int, seed: int) -> Tensor:
    return PRODUCTS.encode(problem.prompt for problem in countdown.training_problems(count, seed))


PRODUCTS = Task(
    WORDS,
    countdown.PROMPT_TOKENS,
    countdown.ANSWER_TOKENS,
    _training_products,
    lambda: PRODUCTS.encode(problem.prompt for problem in countdown.held_out_problems()),
    rewards,
    multiplies,
    is_well_formed,
)
SUMS = Task(
    WORDS,
    countdown.PROMPT_TOKENS,
    countdown.ANSWER_TOKENS,
    _training_sums,
    lambda: SUMS.encode(problem.prompt for problem in _held_out_sums()),
    rewards,
    multiplies,
    is_well_formed,
)
