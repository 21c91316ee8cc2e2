"""What a task of the bench is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

END = 0
"""The token that ends an answer, in every vocabulary."""


@dataclass(frozen=True)
class Task:
    """Problems to train on, problems to evaluate on, and what answers to them are worth.

    Attributes:
        words: the vocabulary, `END` first.
        prompt_tokens: of every prompt.
        answer_tokens: of the longest answer.
        training: (count, seed) -> (count, columns) problems: a prompt's tokens, then what the reward alone reads.
        held_out: problems that are never trained on.
        rewards: problems, answers -> 1.0 where the answer is right, else 0.0.
        is_rare: problems, answers -> whether the answer goes the rare way that the task is about.
        is_well_formed: problems, answers -> whether it could be an answer to some problem.

    Answers are (..., answer_tokens), with `END` in the place of what follows the first end.
    """

    words: tuple[str, ...]
    prompt_tokens: int
    answer_tokens: int
    training: Callable[[int, int], Tensor]
    held_out: Callable[[], Tensor]
    rewards: Callable[[Tensor, Tensor], Tensor]
    is_rare: Callable[[Tensor, Tensor], Tensor]
    is_well_formed: Callable[[Tensor, Tensor], Tensor]

    def encode(self, texts: Iterable[str]) -> Tensor:
        """Return the tokens of texts of one length.

        Raises:
            KeyError: a word that the task does not have.
        """
        index = {word: number for number, word in enumerate(self.words)}
        return torch.tensor([[index[word] for word in text.split()] for text in texts])


def counted(ids: Tensor) -> Tensor:
    """Return which tokens of an answer count: all up to the first end, which counts too.

    >>> counted(torch.tensor([[7, END, 7]]))
    tensor([[ True,  True, False]])
    """
    is_end = ids == END
    return is_end.cumsum(-1) - is_end.long() == 0


def fresh(rows: Iterator[Sequence[int]], count: int, excluded: Iterable[Sequence[int]] = ()) -> Tensor:
    """Return the first rows that are not excluded, with repetitions.

    >>> fresh(iter([[1, 2], [3, 4], [1, 2]]), 2, [[3, 4]])
    tensor([[1, 2],
            [1, 2]])
    """
    known, found = {tuple(row) for row in excluded}, []
    while len(found) < count:
        row = tuple(next(rows))
        if row not in known:
            found.append(row)
    return torch.tensor(found)


def different(rows: Iterator[Sequence[int]], count: int) -> Tensor:
    """Return the first rows that differ from each other.

    >>> different(iter([[1, 2], [1, 2], [3, 4]]), 2)
    tensor([[1, 2],
            [3, 4]])
    """
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        found[tuple(next(rows))] = None
    return torch.tensor([*found])
