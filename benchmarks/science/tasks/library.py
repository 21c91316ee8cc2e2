"""Tasks of reasoning-gym whose problems have shortest answers: problems as rows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import count
from typing import Any

from torch import Tensor

from benchmarks.science.tasks.task import different, fresh

Entry = dict[str, Any]
_APART = 10**6  # the library's problem i of seed s is its problem 0 of seed s + i
_HELD_OUT = 128


@dataclass(frozen=True, eq=False)
class Library:
    """A data set of the library's, and how the policy reads it.

    Attributes:
        name: the library's.
        settings: of the data set.
        index: tokens by word.
        prompt_of: a problem of the library's -> the words of its prompt.
        solution: name of the shortest answer in the problem's metadata.
        lengths: of the shortest answers that are taken.
        held_out_seed: of the problems that are never trained on.
    """

    name: str
    settings: Mapping[str, Any]
    index: Mapping[str, int]
    prompt_of: Callable[[Entry], str]
    solution: str
    lengths: range
    held_out_seed: int

    def entries(self, seed: int) -> Iterator[Entry]:
        """Yield the problems of a seed as the library makes them, without end.

        Raises:
            ModuleNotFoundError: it is not installed.
        """
        try:
            reasoning_gym = import_module("reasoning_gym")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"task {self.name}: expected reasoning-gym, pip install 'bandpo[science]'"
            ) from error
        data = reasoning_gym.create_dataset(self.name, seed=(seed + 1) * _APART, size=_APART, **self.settings)
        for number in count():
            entry = data[number]
            if len(self.solution_of(entry)) in self.lengths:
                yield entry

    def solution_of(self, entry: Entry) -> list[str]:
        """Return the words of a problem's shortest answer."""
        return entry["metadata"][self.solution]

    def row_of(self, entry: Entry) -> list[int]:
        """Return the tokens of a prompt, with the length of the shortest answer behind."""
        return [*(self.index[word] for word in self.prompt_of(entry).split()), len(self.solution_of(entry))]

    @lru_cache  # noqa: B019 - there are two of these, which last
    def held_out(self) -> Tensor:
        """Return 128 different problems."""
        return different(map(self.row_of, self.entries(self.held_out_seed)), _HELD_OUT)

    @lru_cache(maxsize=32)  # noqa: B019
    def training(self, number: int, seed: int) -> Tensor:
        """Return problems of which none is held out."""
        return fresh(map(self.row_of, self.entries(seed)), number, self.held_out().tolist())
