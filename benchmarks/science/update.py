"""One update of all runs: loss, gradients clipped a run, Adam.

An answer whose advantage is 0 has neither loss nor gradient under almost every method; it is left out of the pass and
counted in the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bandpo.core.regions.interval import Interval
from bandpo.core.tokens import Tokens
from benchmarks.science import products
from benchmarks.science.policies import Policies
from benchmarks.science.rules import Rule, surrogates


@dataclass(frozen=True)
class Rollout:
    """Answers of all runs, what they earned and what each token may do.

    Attributes:
        ids: (runs, answers, prompt and answer tokens).
        mask, logp: (runs, answers, answer tokens), which tokens count and their log-probs when they were drawn.
        advantages: (runs, answers).
        group_rewards: (runs, answers, answers of a prompt).
        interval: bounds, shaped as logp.
    """

    ids: Tensor
    mask: Tensor
    logp: Tensor
    advantages: Tensor
    group_rewards: Tensor
    interval: Interval


class Minibatch(NamedTuple):
    """The answers of one update, all runs' in one dimension, the first run's first.

    Attributes:
        rollout: they are of.
        rows: their places in the rollout's answers of all runs.
        runs: run of each.
        counts: number of answers of every run.
        size: answers that the mean of a run's loss divides by, those left out included.
    """

    rollout: Rollout
    rows: Tensor
    runs: Tensor
    counts: list[int]
    size: int


def group_advantages(rewards: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """Return advantages (r - mean)/(std + 1e-4) over the answers to a prompt, and the rewards of the whole group.

    >>> group_advantages(torch.tensor([[1.0, 0.0, 1.0, 1.0]]), 2)[0]
    tensor([[ 0.7070, -0.7070,  0.0000,  0.0000]])
    """
    groups = rewards.view(len(rewards), -1, each)
    centred = groups - groups.mean(-1, keepdim=True)
    advantages = centred / (groups.std(-1, keepdim=True) + 1e-4)
    return advantages.flatten(1), centred.repeat_interleave(each, dim=1)


def minibatches(rollout: Rollout, orders: Tensor, number: int, rules: Sequence[Rule]) -> Iterator[Minibatch]:
    """Yield the answers in parts of one size, in each run's own order, (runs, answers)."""
    runs, answers = rollout.advantages.shape
    matters = rollout.advantages != 0
    for rule in rules:
        if rule.needs_all:
            matters[rule.first : rule.last] = True
    for places in orders.chunk(number, dim=1):
        chosen = matters.gather(1, places)
        if products.is_batched(places):  # answers without advantage fill up the runs that have fewer
            most = max(int(chosen.sum(1).max()), 1)
            front = chosen.long().argsort(dim=1, descending=True, stable=True)[:, :most]
            chosen = torch.zeros_like(chosen).scatter(1, front, True)
        offset = torch.arange(runs, device=places.device).unsqueeze(1)
        rows, of_run = (places + offset * answers)[chosen], offset.expand_as(places)[chosen]
        yield Minibatch(rollout, rows, of_run, chosen.sum(1).tolist(), places.shape[1])


def loss_of(policies: Policies, batch: Minibatch, rules: Sequence[Rule]) -> tuple[Tensor, Tensor]:
    """Return the loss of every run and its number of stopped tokens."""
    rollout, rows = batch.rollout, batch.rows
    ids, mask, old, low, high, advantages, group_rewards = (
        part.flatten(0, 1)[rows]
        for part in (
            rollout.ids,
            rollout.mask,
            rollout.logp,
            *rollout.interval,
            rollout.advantages.unsqueeze(-1),
            rollout.group_rewards,
        )
    )
    tokens = mask.shape[-1]
    logits = policies.logits(ids[:, :-1], batch.runs, batch.counts, ids.shape[1] - tokens - 1)
    logp = torch.log_softmax(logits, -1).gather(-1, ids[:, -tokens:].unsqueeze(-1)).squeeze(-1)
    given = Tokens(logp - old, logp, old, torch.where(mask, advantages, 0.0), mask)
    surrogate = surrogates(rules, batch.counts, given, Interval(low, high), logits, group_rewards)
    per_answer = torch.where(mask, surrogate.loss, 0.0).sum(-1) / mask.sum(-1)
    stopped = ((surrogate.gradient == 0) & (given.advantages != 0)).sum(-1).float()
    of_runs = stopped.new_zeros(2, policies.runs)
    return of_runs[0].index_add(0, batch.runs, per_answer) / batch.size, of_runs[1].index_add(0, batch.runs, stopped)


class Optimizer:
    """Adam with gradients clipped by their norm, each run with its own learning rate and norm.

    Args:
        policies: that it moves.
        learning_rates: one a run.
        max_grad_norm: of a run's whole gradient.
    """

    def __init__(self, policies: Policies, learning_rates: Sequence[float], max_grad_norm: float):
        self.policies, self.max_grad_norm = policies, max_grad_norm
        self.rows = [row.detach().requires_grad_() for row in policies.flat]
        groups = [
            {"params": [row for row, rate in zip(self.rows, learning_rates, strict=True) if rate == each], "lr": each}
            for each in sorted(set(learning_rates))
        ]
        self.adam = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)

    def step(self, losses: Tensor) -> None:
        """Move every run down the gradient of its loss; one without signal moves by its momentum."""
        flat = self.gradients(losses) if losses.requires_grad else torch.zeros_like(self.policies.flat)
        norms = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
        flat *= (self.max_grad_norm / (norms + 1e-6)).clamp(max=1.0)
        for row, gradient in zip(self.rows, flat, strict=True):
            row.grad = gradient
        self.adam.step()

    def gradients(self, losses: Tensor) -> Tensor:
        """Return the gradient of every run's loss, (runs, parameters): no loss has a part in another run's."""
        gradients = torch.autograd.grad(losses.sum(), list(self.policies.parameters.values()))
        return torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
