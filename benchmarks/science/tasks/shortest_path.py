"""reasoning-gym's shortest path: lead from * to # in a grid of four by four, around the cells that are blocked.

An answer is right if no way is shorter, which is where the library's own score is 1. A prompt is the grid, cell by
cell. What is rare here is a detour, an answer that goes left and right, or up and down: one shortest way of twelve is.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from benchmarks.science.tasks.library import Entry, Library
from benchmarks.science.tasks.task import END, Task

MOVES = ("up", "down", "left", "right")
WORDS = ("<end>", "->", "*", "#", "O", "X", *MOVES)
INDEX = {word: index for index, word in enumerate(WORDS)}
SIDE = 4
PROMPT_TOKENS, ANSWER_TOKENS = SIDE * SIDE + 1, 9


def prompt_of(entry: Entry) -> str:
    """Return a problem of the library's as the policy reads it."""
    return " ".join(cell for row in entry["metadata"]["matrix"] for cell in row) + " ->"


LIBRARY = Library(
    "shortest_path",
    {"min_rows": SIDE, "max_rows": SIDE, "min_cols": SIDE, "max_cols": SIDE, "p_blocked": 0.3},
    INDEX,
    prompt_of,
    "solution",
    range(2, ANSWER_TOKENS),
    held_out_seed=2033,
)


def rewards(asked: Tensor, answers: Tensor) -> Tensor:
    """Return 1.0 where the answer is a way that leads from * to #, of which none is shorter, else 0.0.

    Args:
        asked: (..., 18), prompts and the fewest steps.
        answers: (..., 9) tokens.

    >>> grid = TASK.encode(["* X O O O # O O O O O O O O O O ->"])
    >>> answers = TASK.encode(["down right <end>", "right down <end>", "down down <end>"])
    >>> rewards(torch.nn.functional.pad(grid, (0, 1), value=2).expand(3, -1), answers)
    tensor([1., 0., 0.])
    """
    grid = asked[..., : SIDE * SIDE]
    place = (grid == INDEX["*"]).long().argmax(-1)
    row, column = place // SIDE, place % SIDE
    is_open = torch.ones_like(row, dtype=torch.bool)
    for token in answers.unbind(-1):
        row = row + (token == INDEX["down"]).long() - (token == INDEX["up"]).long()
        column = column + (token == INDEX["right"]).long() - (token == INDEX["left"]).long()
        is_inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
        row, column = row.clamp(0, SIDE - 1), column.clamp(0, SIDE - 1)
        cell = grid.gather(-1, (row * SIDE + column).unsqueeze(-1)).squeeze(-1)
        is_open = is_open & is_inside & (cell != INDEX["X"])
    arrives = grid.gather(-1, (row * SIDE + column).unsqueeze(-1)).squeeze(-1) == INDEX["#"]
    is_short = (answers != END).sum(-1) == asked[..., PROMPT_TOKENS]
    return (is_well_formed(asked, answers) & is_open & arrives & is_short).float()


def turns_back(asked: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer goes both ways along a side of the grid.

    >>> turns_back(torch.zeros(2, 18), TASK.encode(["down right up", "down right down"]))
    tensor([ True, False])
    """
    up, down, left, right = ((answers == INDEX[move]).any(-1) for move in MOVES)
    return (up & down) | (left & right)


def is_well_formed(asked: Tensor, answers: Tensor) -> Tensor:
    """Return whether an answer is moves alone, one at least.

    >>> is_well_formed(torch.zeros(2, 18), TASK.encode(["up left <end>", "up X <end>"]))
    tensor([ True, False])
    """
    is_move = answers >= INDEX["up"]
    return (is_move | (answers == END)).all(-1) & is_move[..., 0]


def demonstration(rng: random.Random, entry: Entry, correct_share: float, rare_share: float) -> str:
    """Return an answer to show: with a chance the shortest way, else as many moves towards # and across.

    A way that turns back is shown with a chance of its own.
    """
    solution = LIBRARY.solution_of(entry)
    turns = ({"up", "down"} <= set(solution)) or ({"left", "right"} <= set(solution))
    if (not turns or rng.random() < rare_share) and rng.random() < correct_share:
        return " ".join(solution)
    ways = [rng.choice(("up", "down")), rng.choice(("left", "right"))]
    return " ".join(rng.choices(ways, k=len(solution)))


TASK = Task(
    WORDS, PROMPT_TOKENS, ANSWER_TOKENS, LIBRARY.training, LIBRARY.held_out, rewards, turns_back, is_well_formed
)
