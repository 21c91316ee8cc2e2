"""Answers of all runs at once, token by token: what several answers to a prompt begin with is computed once."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.science.policies import Layer, Policies, apply, attend, embed, finish, merge, normed
from benchmarks.science.products import is_batched


class Answers(NamedTuple):
    """Sampled answers, all (runs, prompts · answers each, tokens).

    Attributes:
        ids: tokens.
        logp: their log-probs under the policy that drew them, at temperature 1.
        entropy: of the distribution each was drawn from, in nats.
    """

    ids: Tensor
    logp: Tensor
    entropy: Tensor


class _Beginnings(NamedTuple):
    """Different beginnings of answers, those of the first run first.

    Attributes:
        ids: (beginnings,) last token of each.
        runs: (beginnings,) run of each.
        counts: beginnings of every run.
        parents: (beginnings,) the beginning, one token shorter, that each continues.
        of_answer: (answers of all runs,) beginning of every answer.
    """

    ids: Tensor
    runs: Tensor
    counts: list[int]
    parents: Tensor
    of_answer: Tensor


@torch.no_grad()
def sample(policies: Policies, prompts: Tensor, uniform: Tensor) -> Answers:
    """Draw answers by the inverse of the cumulated probabilities.

    Args:
        policies: of all runs.
        prompts: (runs, prompts, length) tokens.
        uniform: (runs, prompts · answers each, tokens) random numbers in [0, 1): the draw depends on nothing else.
    """
    runs, count, length = prompts.shape
    network, flat = policies.network(), uniform.flatten(0, 1)
    logits, caches = _read(policies, prompts)
    of_prompt = torch.arange(runs * count, device=prompts.device)
    now = _Beginnings(
        of_prompt,
        of_prompt // count,
        [count] * runs,
        of_prompt,
        of_prompt.repeat_interleave(len(flat) // (runs * count)),
    )
    drawn = [_draw(logits, now.of_answer, flat[:, 0])]
    for step in range(1, uniform.shape[2]):
        now = _continued(now, drawn[-1].ids, logits.shape[-1])
        place = network.positions[:, length + step - 1]
        x = (embed(network.tokens, now.ids, now.runs) + place[now.runs]).unsqueeze(1)
        for layer, cache in zip(network.layers, caches, strict=True):
            x = finish(x, cache.attend(policies, x, layer, now), layer, now.counts)
        logits = apply(normed(x), network.head, now.counts).squeeze(1)
        drawn.append(_draw(logits, now.of_answer, flat[:, step]))
    return Answers(*(torch.stack(part, -1).view(uniform.shape) for part in zip(*drawn, strict=True)))


def _read(policies: Policies, prompts: Tensor) -> tuple[Tensor, list[_Cache]]:
    """Return the logits of the first answer token, (prompts of all runs, vocabulary), and each layer's cache."""
    runs, count, length = prompts.shape
    network, counts = policies.network(), [count] * runs
    of_run = torch.arange(runs, device=prompts.device).view(-1, 1, 1)
    x = (embed(network.tokens, prompts, of_run) + network.positions[:, None, :length]).flatten(0, 1)
    caches = []
    for number, layer in enumerate(network.layers):
        q, k, v = policies.project(x, layer, counts)
        caches.append(_Cache(k, v))
        start = length - 1 if number == len(network.layers) - 1 else 0
        x = finish(x[:, start:], merge(attend(q[:, :, start:], k, v)), layer, counts)
    return apply(normed(x), network.head, counts).squeeze(1), caches


def _continued(before: _Beginnings, ids: Tensor, vocabulary: int) -> _Beginnings:
    """Return the beginnings with one more token; where runs are batched every answer is its own."""
    runs = len(before.counts)
    if is_batched(ids):
        of_answer = torch.arange(len(ids), device=ids.device)
        of_run = of_answer // (len(ids) // runs)
        return _Beginnings(ids, of_run, [len(ids) // runs] * runs, before.of_answer, of_answer)
    different, of_answer = (before.of_answer * vocabulary + ids).unique(return_inverse=True)
    parents = different // vocabulary
    of_run = before.runs[parents]
    return _Beginnings(different % vocabulary, of_run, of_run.bincount(minlength=runs).tolist(), parents, of_answer)


def _draw(logits: Tensor, of_answer: Tensor, uniform: Tensor) -> Answers:
    """Draw one token for every answer from the distribution of its beginning."""
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    total = p.cumsum(-1)[of_answer]
    ids = (total <= (uniform * total[:, -1]).unsqueeze(-1)).sum(-1).clamp_max(logits.shape[-1] - 1)
    return Answers(ids, log_p[of_answer, ids], -(p * log_p).sum(-1)[of_answer])


class _Cache:
    """Keys and values of a layer, of every beginning with its prompt: (beginnings, heads, tokens, width of a head)."""

    def __init__(self, k: Tensor, v: Tensor):
        self.k, self.v = k, v

    def attend(self, policies: Policies, x: Tensor, layer: Layer, now: _Beginnings) -> Tensor:
        """Add the keys and values of one new token of every beginning, and return what it attends to."""
        q, k, v = policies.project(x, layer, now.counts)
        self.k, self.v = _grown(self.k, k, now.parents), _grown(self.v, v, now.parents)
        weights = ((self.k * q).sum(-1) / math.sqrt(q.shape[-1])).softmax(-1)
        return merge((weights.unsqueeze(-1) * self.v).sum(2, keepdim=True))


def _grown(old: Tensor, new: Tensor, parents: Tensor) -> Tensor:
    """Return what each beginning's parent holds, with one token more."""
    grown = new.new_empty(*new.shape[:2], old.shape[2] + 1, new.shape[3])
    grown[:, :, :-1], grown[:, :, -1:] = old[parents], new
    return grown
