"""Countdown as tensors: problems, prompts and rewards of many runs at once, the same as `bandpo.tasks.countdown`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import torch
from torch import Tensor

from bandpo.tasks import countdown
from bandpo.tasks.countdown import Problem

WORDS = (
    countdown.END,
    countdown.SEPARATOR,
    *countdown.OPERATORS,
    *(str(number) for number in range(1, countdown.LARGEST_TARGET + 1)),
)
INDEX = {word: index for index, word in enumerate(WORDS)}
END, PLUS, MINUS, TIMES = (INDEX[word] for word in (countdown.END, *countdown.OPERATORS))
_ZERO = INDEX["1"] - 1  # a number's token less this is the number
_HELD_OUT_SEED = 2030


@dataclass(frozen=True)
class Task:
    """A distribution of problems to train on, and those to evaluate on.

    Attributes:
        training: (count, seed) -> problems.
        held_out: problems that are never trained on.
    """

    training: Callable[[int, int], list[Problem]]
    held_out: Callable[[], Sequence[Problem]]


def encode(texts: Iterable[str]) -> Tensor:
    """Return the tokens of texts of one length.

    >>> encode(["3 7 11 2 -> 45"])
    tensor([[ 7, 11, 15,  6,  1, 49]])
    """
    return torch.tensor([[INDEX[word] for word in text.split()] for text in texts])


def counted(ids: Tensor) -> Tensor:
    """Return which tokens of an answer count: all up to the first end, which counts too.

    >>> counted(torch.tensor([[7, END, 7]]))
    tensor([[ True,  True, False]])
    """
    is_end = ids == END
    return is_end.cumsum(-1) - is_end.long() == 0


def rewards(prompts: Tensor, answers: Tensor) -> Tensor:
    """Return 1.0 where the answer uses each number of its prompt once and reaches the target, else 0.0.

    Args:
        prompts, answers: (..., 6) and (..., 7) tokens.

    >>> rewards(encode(["1 2 3 4 -> 19"]), encode(["2 + 3 * 4 - 1"]))
    tensor([1.])
    """
    numbers, operators = answers[..., ::2] - _ZERO, answers[..., 1::2]
    asked = prompts[..., :4] - _ZERO
    value = numbers[..., 0]
    for operator, number in zip(operators.unbind(-1), numbers[..., 1:].unbind(-1), strict=True):
        changed = torch.where(operator == PLUS, value + number, value - number)
        value = torch.where(operator == TIMES, value * number, changed)
    is_right = well_formed(answers) & (numbers.sort(-1).values == asked.sort(-1).values).all(-1)
    return (is_right & (value == prompts[..., 5] - _ZERO)).float()


def well_formed(answers: Tensor) -> Tensor:
    """Return whether an answer alternates numbers and operators.

    >>> well_formed(encode(["2 + 3 * 4 - 1", "2 + + * 4 - 1"]))
    tensor([ True, False])
    """
    numbers, operators = answers[..., ::2], answers[..., 1::2]
    return (numbers > _ZERO).all(-1) & ((operators >= PLUS) & (operators <= TIMES)).all(-1)


@lru_cache
def _held_out_sums() -> tuple[Problem, ...]:
    """Return 128 different problems."""
    different = {problem.key: problem for problem in islice(_sums(_HELD_OUT_SEED), 256)}
    return tuple(different.values())[:128]


def _training_sums(count: int, seed: int) -> list[Problem]:
    """Return problems of which none is held out."""
    excluded = {problem.key for problem in _held_out_sums()}
    return list(islice((problem for problem in _sums(seed) if problem.key not in excluded), count))


def _sums(seed: int) -> Iterator[Problem]:
    """Yield problems whose targets + and - alone have made."""
    return countdown.problems(seed, (1, 1, 0))


TASKS = {
    "countdown": Task(countdown.training_problems, countdown.held_out_problems),
    "countdown-sums": Task(_training_sums, _held_out_sums),
}
"""`countdown`, where the rare operator pays, and `countdown-sums`, where no target needs it."""
