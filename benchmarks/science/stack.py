"""A stack of runs from warm start to end: rollouts, updates, evaluations; no run sees the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bandpo.tasks import POLICIES
from bandpo.views.specs import Spec
from benchmarks.science.evaluation import Evaluator
from benchmarks.science.held_radius import move_radii
from benchmarks.science.policies import Policies, load_policy
from benchmarks.science.rules import bounds, order, rules_of
from benchmarks.science.sampling import Answers, sample
from benchmarks.science.tasks import END, TASKS, counted
from benchmarks.science.update import Optimizer, Rollout, group_advantages, loss_of, minibatches


@dataclass(frozen=True)
class Settings:
    """What all runs of a stack share; the defaults are those of `bandpo train`.

    Attributes:
        task: a name in `TASKS`.
        updates: Adam steps of a run, whole rollouts.
        prompts, each: prompts of a rollout and answers to each.
        minibatches, epochs: parts of a rollout, and how often each is used.
        max_grad_norm: of the gradient.
        evaluate_every: rollouts between evaluations.
        samples: answers to each held-out problem.
    """

    task: str = "countdown"
    updates: int = 2400
    prompts: int = 32
    each: int = 16
    minibatches: int = 8
    epochs: int = 2
    max_grad_norm: float = 1.0
    evaluate_every: int = 30
    samples: int = 32

    @property
    def rollouts(self) -> int:
        """Return the number of rollouts.

        Raises:
            ValueError: updates that are no whole rollouts.
        """
        whole, rest = divmod(self.updates, self.minibatches * self.epochs)
        if rest or not whole:
            raise ValueError(f"--updates {self.updates}: expected a multiple of {self.minibatches * self.epochs}")
        return whole


@dataclass(frozen=True)
class Run:
    """One run: a method, a learning rate, a seed, and the name or folder of its warm start."""

    spec: Spec
    learning_rate: float
    seed: int
    start: str = "countdown"


STARTS = Path(__file__).parent / "starts"


def start_path(name: str) -> Path:
    """Return the folder of a warm start: one that ships with the package, one of the bench's, or one's own."""
    own = STARTS / name
    return POLICIES.get(name, own if own.is_dir() else Path(name))


def record_of(run: Run, settings: Settings) -> dict[str, Any]:
    """Return all that a run is set to."""
    own = {"method": run.spec.label, "lr": run.learning_rate, "seed": run.seed, "start": run.start}
    return {**own, **asdict(settings)}


class Stack:
    """Runs with stacked parameters.

    Args:
        runs: in any order; `runs` has them in the stack's.
        settings: of all.
        device: "cpu" or "cuda".
    """

    def __init__(self, runs: Sequence[Run], settings: Settings, device: str = "cpu"):
        self.settings, self.device = settings, device
        self.runs = sorted(runs, key=lambda run: (order(run.spec), run.learning_rate, run.seed, run.start))
        self.rules = rules_of([run.spec for run in self.runs])
        starts = {name: load_policy(start_path(name)) for name in sorted({run.start for run in runs})}
        [heads] = {heads for _, heads in starts.values()}
        self.starts = {name: Policies([state], heads, device) for name, (state, _) in starts.items()}
        self.policies = Policies([starts[run.start][0] for run in self.runs], heads, device)
        self.optimizer = Optimizer(self.policies, [run.learning_rate for run in self.runs], settings.max_grad_norm)
        self.generators = [torch.Generator().manual_seed(run.seed) for run in self.runs]
        self.task = TASKS[settings.task]
        count = settings.rollouts * settings.prompts
        problems = {seed: self.task.training(count, seed) for seed in {run.seed for run in self.runs}}
        self.problems = torch.stack([problems[run.seed] for run in self.runs])
        self.evaluator = Evaluator(self.task, settings.samples, device)
        self.done = 0

    def rollout(self) -> dict[str, Tensor]:
        """Sample answers, update on them, and return means over tokens by name, one value a run."""
        settings, progress = self.settings, self.done / self.settings.rollouts
        first = self.done * settings.prompts
        problems = self.problems[:, first : first + settings.prompts].to(self.device)
        answers = settings.prompts * settings.each
        uniform = self._drawn(lambda own: torch.rand(answers, self.task.answer_tokens, generator=own))
        drawn = sample(self.policies, problems[..., : self.task.prompt_tokens], uniform)
        rollout, means = self._judged(problems, drawn, progress)
        orders = self._drawn(lambda own: torch.randperm(answers, generator=own))
        parts = list(minibatches(rollout, orders, settings.minibatches, self.rules))
        stopped = torch.zeros(len(self.runs), device=self.device)
        for batch in parts * settings.epochs:
            losses = torch.zeros(())
            if sum(batch.counts):
                losses, of_batch = loss_of(self.policies, batch, self.rules)
                stopped += of_batch
            self.optimizer.step(losses)
        self.done += 1
        share = stopped / (rollout.mask.sum((1, 2)) * settings.epochs)
        move_radii(self.rules, share)
        return {**means, "clip": share}

    def _judged(self, problems: Tensor, drawn: Answers, progress: float) -> tuple[Rollout, dict[str, Tensor]]:
        """Return the rollout with rewards, advantages and bounds, and its mean reward and entropy."""
        asked, mask = problems.repeat_interleave(self.settings.each, dim=1), counted(drawn.ids)
        earned = self.task.rewards(asked, torch.where(mask, drawn.ids, END))
        advantages, group_rewards = group_advantages(earned, self.settings.each)
        interval = bounds(self.rules, drawn.logp, progress)
        ids = torch.cat([asked[..., : self.task.prompt_tokens], drawn.ids], -1)
        rollout = Rollout(ids, mask, drawn.logp, advantages, group_rewards, interval)
        entropy = (drawn.entropy * mask).sum((1, 2)) / mask.sum((1, 2))
        return rollout, {"reward": earned.mean(1), "train_entropy": entropy}

    def _drawn(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        """Return what each run draws from its own generator, which is the same on every device."""
        return torch.stack([draw(own) for own in self.generators]).to(self.device)

    def train(self, tell: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
        """Train to the end and return a record for each run: settings, curve and final scores.

        Args:
            tell: is called after every rollout.
        """
        curve = [self._scores_at_start()]
        since: list[dict[str, Tensor]] = []
        while self.done < self.settings.rollouts:
            since.append(self.rollout())
            tell()
            if self.done % self.settings.evaluate_every == 0 or self.done == self.settings.rollouts:
                curve.append(self._scores({name: torch.stack([m[name] for m in since]).mean(0) for name in since[0]}))
                since = []
        return [
            {
                **record_of(run, self.settings),
                "final": curve[-1][number],
                "curve": [scores[number] for scores in curve],
            }
            for number, run in enumerate(self.runs)
        ]

    def _scores_at_start(self) -> list[dict[str, float]]:
        """Return the scores of every run's warm start, each of which is evaluated once."""
        of_start = {name: self.evaluator(policies) for name, policies in self.starts.items()}
        return [
            {"updates": 0, **{name: round(value.item(), 6) for name, value in of_start[run.start].items()}}
            for run in self.runs
        ]

    def _scores(self, means: dict[str, Tensor]) -> list[dict[str, float]]:
        """Return the scores of every run now, with the means over the rollouts since the last."""
        scores = {**self.evaluator(self.policies), **means}
        updates = self.done * self.settings.minibatches * self.settings.epochs
        columns = {name: values.tolist() for name, values in scores.items()}
        return [
            {"updates": updates, **{name: round(values[number], 6) for name, values in columns.items()}}
            for number in range(len(self.runs))
        ]
