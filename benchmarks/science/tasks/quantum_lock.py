"""reasoning-gym's quantum lock: press three buttons, each of which adds, subtracts or multiplies, to reach a number.

A light turns from red to green or back at every press that counts; a button may work in one light only. An answer is
right if it is as short as can be, which is where the library's own score is 1. A prompt is the library's metadata in
words: `add 2 any multiply 2 green subtract 1 red -> 14`. What is rare here is a multiplying button: seven of ten
shortest answers press one, the warm start seldom does.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from benchmarks.science.tasks.library import Entry, Library
from benchmarks.science.tasks.task import END, Task

BUTTONS = ("A", "B", "C")
LARGEST = 16
WORDS = (
    "<end>",
    "->",
    *BUTTONS,
    *("add", "subtract", "multiply"),
    *("any", "red", "green"),
    *(str(number) for number in range(1, LARGEST + 1)),
)
INDEX = {word: index for index, word in enumerate(WORDS)}
PROMPT_TOKENS, ANSWER_TOKENS = 11, 10
_ZERO = INDEX["1"] - 1


def prompt_of(entry: Entry) -> str:
    """Return a problem of the library's as the policy reads it."""
    about = entry["metadata"]
    buttons = [f"{each['type']} {each['value']} {each['active_state']}" for each in about["buttons"]]
    return f"{' '.join(buttons)} -> {about['target_value']}"


LIBRARY = Library(
    "quantum_lock", {"difficulty": 4}, INDEX, prompt_of, "solution_path", range(1, ANSWER_TOKENS), held_out_seed=2032
)


def rewards(asked: Tensor, answers: Tensor) -> Tensor:
    """Return 1.0 where the answer reaches the target with the fewest presses, else 0.0.

    Args:
        asked: (..., 12), prompts and the fewest presses.
        answers: (..., 10) tokens.

    >>> prompt = TASK.encode(["add 2 any multiply 2 green subtract 1 red -> 8"])
    >>> answers = TASK.encode(["A B A A <end> <end>", "A A A A <end> <end>", "A A A A C <end>"])
    >>> rewards(torch.nn.functional.pad(prompt, (0, 1), value=4).expand(3, -1), answers)
    tensor([1., 1., 0.])
    """
    kinds, sizes, lights = asked[..., 0:9:3], asked[..., 1:9:3] - _ZERO, asked[..., 2:9:3]
    value, is_red = torch.zeros_like(answers[..., 0]), torch.ones_like(answers[..., 0], dtype=torch.bool)
    for token in answers.unbind(-1):
        is_press = (token >= INDEX["A"]) & (token <= INDEX["C"])
        button = torch.where(is_press, token - INDEX["A"], 0).unsqueeze(-1)
        kind, size, light = (part.gather(-1, button).squeeze(-1) for part in (kinds, sizes, lights))
        works = is_press & ((light == INDEX["any"]) | ((light == INDEX["red"]) == is_red))
        summed = torch.where(kind == INDEX["add"], value + size, value - size)
        value = torch.where(works, torch.where(kind == INDEX["multiply"], value * size, summed), value)
        is_red = is_red ^ works
    is_short = (answers != END).sum(-1) == asked[..., PROMPT_TOKENS]
    return (is_well_formed(asked, answers) & is_short & (value == asked[..., PROMPT_TOKENS - 1] - _ZERO)).float()


def multiplies(asked: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer presses a multiplying button."""
    is_multiplier = asked[..., 0:9:3] == INDEX["multiply"]
    return torch.stack(
        [(answers == INDEX[name]).any(-1) & is_multiplier[..., number] for number, name in enumerate(BUTTONS)], -1
    ).any(-1)


def is_well_formed(asked: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer is presses alone, one at least.

    >>> is_well_formed(torch.zeros(3, 12), TASK.encode(["A B <end>", "A red <end>", "<end> <end> <end>"]))
    tensor([ True, False, False])
    """
    is_press = (answers >= INDEX["A"]) & (answers <= INDEX["C"])
    return (is_press | (answers == END)).all(-1) & is_press[..., 0]


def demonstration(rng: random.Random, entry: Entry, correct_share: float, rare_share: float) -> str:
    """Return an answer to show: with a chance the shortest, else as many presses at random.

    One that multiplies is shown with a chance of its own; the random presses leave multiplying buttons out.
    """
    about = entry["metadata"]
    multipliers = {each["name"] for each in about["buttons"] if each["type"] == "multiply"}
    solution = LIBRARY.solution_of(entry)
    is_shown = not multipliers & set(solution) or rng.random() < rare_share
    if is_shown and rng.random() < correct_share:
        return " ".join(solution)
    others = [name for name in BUTTONS if name not in multipliers or rng.random() < rare_share] or list(BUTTONS)
    return " ".join(rng.choices(others, k=len(solution)))


TASK = Task(
    WORDS, PROMPT_TOKENS, ANSWER_TOKENS, LIBRARY.training, LIBRARY.held_out, rewards, multiplies, is_well_formed
)
