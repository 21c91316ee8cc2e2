"""Countdown with four numbers: the embedded task, small enough to train on a laptop in minutes.

Given four numbers from 1..12 and a target from 1..99, write `a op b op c op d` that uses each number once and gives
the target when read from left to right; op is +, - or *. The reward is 1 or 0. Targets are built with all three
operators alike, but the warm-started policy writes * in about one answer of thirty: whether training keeps that rare
and valuable token alive or drives it out is what the task shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import permutations, product
from pathlib import Path
from typing import Any

OPERATORS = ("+", "-", "*")
SEPARATOR = "->"
END = "<end>"
LARGEST_NUMBER, LARGEST_TARGET = 12, 99
PROMPT_TOKENS, ANSWER_TOKENS = 6, 7
# Warm starts, as `--model` calls them; countdown_warm_start.py says how each was trained.
STARTS = {
    "countdown": "countdown_policy",
    "countdown-2": "countdown_policy_2",
    "countdown-3": "countdown_policy_3",
}
_HELD_OUT_SEED = 2029
_HELD_OUT_PROMPTS = 128


@dataclass(frozen=True)
class Problem:
    """Four numbers and the target to reach with them."""

    numbers: tuple[int, ...]
    target: int

    @property
    def prompt(self) -> str:
        """Return the problem as the policy reads it.

        >>> Problem((3, 7, 11, 2), 45).prompt
        '3 7 11 2 -> 45'
        """
        return " ".join(map(str, self.numbers)) + f" {SEPARATOR} {self.target}"

    @property
    def key(self) -> tuple[tuple[int, ...], int]:
        """Return what the problem shares with those of the same numbers in another order."""
        return tuple(sorted(self.numbers)), self.target

    @classmethod
    def parse(cls, prompt: str) -> Problem:
        """Return the problem that a prompt states.

        Raises:
            ValueError: not a Countdown prompt.

        >>> Problem.parse("3 7 11 2 -> 45")
        Problem(numbers=(3, 7, 11, 2), target=45)
        """
        numbers, _, target = prompt.partition(SEPARATOR)
        try:
            a, b, c, d = map(int, numbers.split())
            return cls((a, b, c, d), int(target))
        except ValueError:
            raise ValueError(f"prompt {prompt!r}: expected the form '3 7 11 2 {SEPARATOR} 45'") from None


def evaluate_left_to_right(numbers: Sequence[int], operators: Sequence[str]) -> int:
    """Return the value of n1 op1 n2 op2 n3 ..., every operator applied as it is met.

    >>> evaluate_left_to_right((2, 3, 4), ("+", "*"))
    20
    """
    value = numbers[0]
    for operator, number in zip(operators, numbers[1:], strict=True):
        value = value + number if operator == "+" else value - number if operator == "-" else value * number
    return value


def reward(completions: Sequence[str], prompts: Sequence[str], **_: Any) -> list[float]:
    """Return 1.0 where the answer uses each number once and reaches the target, else 0.0; TRL's signature.

    Args:
        completions: answers as text.
        prompts: the prompts they answer, one for each.

    >>> reward(["2 + 3 * 4 - 1", "2 + 3 * 4 - 4", "no idea"], ["1 2 3 4 -> 19"] * 3)
    [1.0, 0.0, 0.0]
    """
    return [
        1.0 if solves(answer, Problem.parse(prompt)) else 0.0
        for answer, prompt in zip(completions, prompts, strict=True)
    ]


def is_well_formed(text: str) -> bool:
    """Return whether the text alternates numbers and operators, seven words in all.

    >>> is_well_formed("2 + 3 * 4 - 1"), is_well_formed("2 + + 3")
    (True, False)
    """
    words = text.split()
    return (
        len(words) == ANSWER_TOKENS
        and all(word.isascii() and word.isdecimal() for word in words[::2])
        and all(word in OPERATORS for word in words[1::2])
    )


def solves(answer: str, problem: Problem) -> bool:
    """Return whether the answer is well-formed, uses each number of the problem once and reaches its target."""
    if not is_well_formed(answer):
        return False
    words = answer.split()
    if sorted(words[::2]) != sorted(map(str, problem.numbers)):
        return False
    return evaluate_left_to_right([int(word) for word in words[::2]], words[1::2]) == problem.target


def needs_multiplication(problem: Problem) -> bool:
    """Return whether no answer with + and - alone reaches the target.

    >>> needs_multiplication(Problem((1, 2, 3, 4), 24)), needs_multiplication(Problem((1, 2, 3, 4), 10))
    (True, False)
    """
    return not any(
        evaluate_left_to_right(order, operators) == problem.target
        for order in set(permutations(problem.numbers))
        for operators in product("+-", repeat=3)
    )


def draw_operators(rng: random.Random, weights: Sequence[float] = (1, 1, 1)) -> list[str]:
    """Draw three operators with these weights of +, - and *."""
    return rng.choices(OPERATORS, weights, k=3)


def draw_numbers(rng: random.Random, operators: Sequence[str]) -> tuple[list[int], int] | None:
    """Draw four numbers; return them with their value by these operators, None where that is not in 1..99."""
    numbers = [rng.randint(1, LARGEST_NUMBER) for _ in range(4)]
    value = evaluate_left_to_right(numbers, operators)
    return (numbers, value) if 1 <= value <= LARGEST_TARGET else None


def problems(seed: int, weights: Sequence[float] = (1, 1, 1)) -> Iterator[Problem]:
    """Yield problems without end: operators drawn with these weights of +, - and *, numbers, and their value as target.

    Those whose value is out of range are left out.

    >>> next(problems(0)) == next(problems(0))
    True
    """
    rng = random.Random(seed)
    while True:
        drawn = draw_numbers(rng, draw_operators(rng, weights))
        if drawn is not None:
            numbers, value = drawn
            rng.shuffle(numbers)
            yield Problem(tuple(numbers), value)


@lru_cache
def held_out_problems() -> tuple[Problem, ...]:
    """Return the 128 problems every evaluation uses, never trained on."""
    source = problems(_HELD_OUT_SEED)
    unique = dict.fromkeys(next(source) for _ in range(2 * _HELD_OUT_PROMPTS))
    return tuple(unique)[:_HELD_OUT_PROMPTS]


def training_problems(count: int, seed: int) -> list[Problem]:
    """Return `count` problems to train on, the same for the same seed, none of them held out.

    >>> training_problems(1, seed=0)[0].prompt
    '...'
    """
    excluded = {problem.key for problem in held_out_problems()}
    source = (problem for problem in problems(seed) if problem.key not in excluded)
    return [next(source) for _ in range(count)]


def describe(completions: Sequence[str]) -> dict[str, float]:
    """Return the share of answers that use the rare operator, and the share that are well-formed.

    >>> describe(["2 + 3 * 4 - 1", "2 + 3"])
    {'uses *': 0.5, 'well-formed': 0.5}
    """
    count = len(completions)
    return {
        "uses *": sum("*" in text for text in completions) / count,
        "well-formed": sum(map(is_well_formed, completions)) / count,
    }


def policy_path(start: str = "countdown") -> Path:
    """Return the folder of a warm-started policy and its tokenizer, one of `STARTS`; they ship with the package."""
    return Path(str(files("bandpo.tasks") / STARTS[start]))
