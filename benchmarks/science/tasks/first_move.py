"""Countdown with a rare first move: a third of the problems is open only to answers that begin with the product.

    a ± b ± c ± d      the plain way, which solves two thirds of the problems
    * a b ± c ± d      a · b ± c ± d, which alone solves the others

One token at the first place decides, where in `countdown` a rare operator may stand at three places.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from bandpo.tasks.countdown import LARGEST_NUMBER, LARGEST_TARGET, Problem, needs_multiplication
from benchmarks.science.tasks.countdown import INDEX, MINUS, PLUS, TIMES, WORDS, ZERO
from benchmarks.science.tasks.task import Task, different, fresh

PROMPT_TOKENS, ANSWER_TOKENS = 6, 7
_HELD_OUT_SEED, _HELD_OUT = 2031, 128
_SHARE = 1 / 3  # of problems that need the first move


def value_of(numbers: Sequence[int], signs: Sequence[int], is_product: bool) -> int:
    """Return a ± b ± c ± d, or a · b ± c ± d, which has no use for the first sign.

    >>> value_of([2, 3, 4, 1], [1, 1, -1], False), value_of([2, 3, 4, 1], [1, 1, -1], True)
    (8, 9)
    """
    a, b, c, d = numbers
    return (a * b if is_product else a + signs[0] * b) + signs[1] * c + signs[2] * d


def draw(rng: random.Random, is_product: bool) -> tuple[list[int], Sequence[int], int]:
    """Draw numbers, signs and their value, which is in 1..99."""
    while True:
        numbers, signs = [rng.randint(1, LARGEST_NUMBER) for _ in range(4)], rng.choices((1, -1), k=3)
        value = value_of(numbers, signs, is_product)
        if 1 <= value <= LARGEST_TARGET:
            return numbers, signs, value


def answer_text(numbers: Sequence[int], signs: Sequence[int], is_product: bool) -> str:
    """Return an answer as text.

    >>> answer_text([2, 3, 4, 1], [1, 1, -1], True)
    '* 2 3 + 4 - 1'
    """
    a, b, c, d = numbers
    x, y, z = ("+" if sign > 0 else "-" for sign in signs)
    return f"* {a} {b} {y} {c} {z} {d}" if is_product else f"{a} {x} {b} {y} {c} {z} {d}"


def problems(seed: int) -> Iterator[list[int]]:
    """Yield problems without end."""
    rng = random.Random(seed)
    while True:
        is_product = rng.random() < _SHARE
        numbers, _, target = draw(rng, is_product)
        rng.shuffle(numbers)
        problem = Problem(tuple(numbers), target)
        if not is_product or needs_multiplication(problem):
            yield [INDEX[word] for word in problem.prompt.split()]


@lru_cache
def held_out() -> Tensor:
    """Return 128 different problems."""
    return different(problems(_HELD_OUT_SEED), _HELD_OUT)


def training(count: int, seed: int) -> Tensor:
    """Return problems of which none is held out."""
    return fresh(problems(seed), count, held_out().tolist())


def rewards(asked: Tensor, answers: Tensor) -> Tensor:
    """Return 1.0 where the answer uses each number of its prompt once and reaches the target, else 0.0.

    >>> rewards(TASK.encode(["1 2 3 4 -> 9"] * 2), TASK.encode(["* 2 3 + 4 - 1", "2 + 3 + 4 - 1"]))
    tensor([1., 0.])
    """
    is_product = begins_rarely(asked, answers)
    places = torch.where(is_product.unsqueeze(-1), _places(answers, 1, 2, 4, 6), _places(answers, 0, 2, 4, 6))
    numbers = places - ZERO
    a, b, c, d = numbers.unbind(-1)
    first = torch.where(is_product, a * b, a + _sign(answers[..., 1]) * b)
    value = first + _sign(answers[..., 3]) * c + _sign(answers[..., 5]) * d
    uses_all = (numbers.sort(-1).values == (asked[..., :4] - ZERO).sort(-1).values).all(-1)
    return (is_well_formed(asked, answers) & uses_all & (value == asked[..., 5] - ZERO)).float()


def begins_rarely(asked: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer makes the rare first move."""
    return answers[..., 0] == TIMES


def is_well_formed(asked: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer is written in one of the two ways.

    >>> is_well_formed(torch.zeros(3, 6), TASK.encode(["* 2 3 + 4 - 1", "2 + 3 + 4 - 1", "2 * 3 + 4 - 1"]))
    tensor([ True,  True, False])
    """
    is_number, is_sign = answers > ZERO, (answers == PLUS) | (answers == MINUS)
    rest = is_number[..., 2] & is_sign[..., 3] & is_number[..., 4] & is_sign[..., 5] & is_number[..., 6]
    plain = is_number[..., 0] & is_sign[..., 1]
    return rest & (plain | (begins_rarely(asked, answers) & is_number[..., 1]))


def _places(answers: Tensor, *places: int) -> Tensor:
    return torch.stack([answers[..., place] for place in places], -1)


def _sign(operators: Tensor) -> Tensor:
    return torch.where(operators == PLUS, 1, -1)


def demonstration(rng: random.Random, correct_share: float, rare_share: float) -> tuple[str, str]:
    """Draw a prompt and an answer to it, which is right with one chance and makes the first move with another."""
    is_product = rng.random() < rare_share
    numbers, signs, target = draw(rng, is_product)
    answer = answer_text(numbers, signs, is_product)
    if rng.random() >= correct_share:
        target = draw(rng, rng.random() < rare_share)[2]
    rng.shuffle(numbers)
    return Problem(tuple(numbers), target).prompt, answer


TASK = Task(WORDS, PROMPT_TOKENS, ANSWER_TOKENS, training, held_out, rewards, begins_rarely, is_well_formed)
