"""Build the bench's own warm starts: `python -m benchmarks.science.starts [NAME ...]`, one to four minutes each.

As those of the package (`bandpo.tasks.countdown_warm_start`), whose training they share: answers of the right form, a
share of them right, the rare way seldom shown. What a start learned is kept in 16 bits.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import torch

from bandpo.tasks import countdown_warm_start
from bandpo.tasks.countdown_warm_start import BATCH, Recipe, build_model, build_tokenizer, fine_tune
from benchmarks.science.stack import STARTS
from benchmarks.science.tasks import END, TASKS, first_move, quantum_lock, shortest_path

Pair = tuple[str, str]


@dataclass(frozen=True)
class Start:
    """A warm start.

    Attributes:
        task: a name in `TASKS`.
        seed: of demonstrations and initialisation.
        correct_share, rare_share: of the demonstrations, those that are right, and how often the rare way is shown.
        steps: of 256 demonstrations.
        width, layers: of the model.
    """

    task: str
    seed: int
    correct_share: float
    rare_share: float
    steps: int = 1200
    width: int = 64
    layers: int = 2

    @property
    def recipe(self) -> Recipe:
        """Return it as the training of the package's own starts reads it."""
        rare = self.rare_share
        return Recipe(self.seed, self.correct_share, (0.96 - rare, 0.04, rare), self.steps)


ALL = {
    "first-move-1": Start("first-move", 11, 0.1, 0.01),
    "first-move-2": Start("first-move", 12, 0.3, 0.03),
    "first-move-3": Start("first-move", 13, 0.5, 0.01),
    "quantum-lock-1": Start("quantum-lock", 21, 0.2, 0.05),
    "quantum-lock-2": Start("quantum-lock", 22, 0.3, 0.1, 800),
    "quantum-lock-3": Start("quantum-lock", 23, 0.5, 0.05, 800),
    "shortest-path-1": Start("shortest-path", 31, 0.1, 0.1, 600),
    "shortest-path-2": Start("shortest-path", 32, 0.2, 0.2, 600),
    "shortest-path-3": Start("shortest-path", 33, 0.3, 0.1, 600),
    "countdown-wide-1": Start("countdown", 41, 0.1, 0.01, 800, width=96, layers=3),
    "countdown-wide-2": Start("countdown", 42, 0.3, 0.03, 800, width=96, layers=3),
}


PROBLEMS = 50_000  # of the library's; each is shown several times, with another answer


def demonstrations(start: Start) -> Iterator[Pair]:
    """Yield prompts with answers to show."""
    rng = random.Random(start.seed)
    shares = start.correct_share, start.rare_share
    if start.task == "countdown":
        yield from countdown_warm_start.demonstrations(start.steps * BATCH, start.recipe)
    elif start.task == "first-move":
        while True:
            yield first_move.demonstration(rng, *shares)
    else:
        module = {"quantum-lock": quantum_lock, "shortest-path": shortest_path}[start.task]
        for entry in cycle(islice(module.LIBRARY.entries(10**6 + start.seed), PROBLEMS)):
            yield module.prompt_of(entry), f"{module.demonstration(rng, entry, *shares)} {TASKS[start.task].words[END]}"


def build(name: str) -> None:
    """Train a start and save it."""
    start = ALL[name]
    task = TASKS[start.task]
    torch.manual_seed(start.seed)
    tokenizer = build_tokenizer(task.words)
    length = task.prompt_tokens + task.answer_tokens
    model = build_model(len(task.words), END, length, start.width, start.layers)
    fine_tune(model, tokenizer, list(islice(demonstrations(start), start.steps * BATCH)), start.recipe)
    model.half().save_pretrained(STARTS / name)
    (STARTS / name / "generation_config.json").unlink(missing_ok=True)


def main() -> None:
    """Build what is named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *ALL], help="all if left out")
    torch.set_num_threads(1)
    for name in parser.parse_args().names or ALL:
        build(name)


if __name__ == "__main__":
    main()
