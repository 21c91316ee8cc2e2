"""Answers of all runs at once, token by token: a prompt is read once, and its answers share its keys and values."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.science.policies import Layer, Policies, apply, attend, embed, finish, merge, normed


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


@torch.no_grad()
def sample(policies: Policies, prompts: Tensor, uniform: Tensor) -> Answers:
    """Draw answers by the inverse of the cumulated probabilities.

    Args:
        policies: of all runs.
        prompts: (runs, prompts, length) tokens.
        uniform: (runs, prompts · answers each, tokens) random numbers in [0, 1): the draw depends on nothing else.
    """
    runs, count, length = prompts.shape
    tokens, each = uniform.shape[2], uniform.shape[1] // count
    network = policies.network()
    of_run = torch.arange(runs, device=prompts.device).view(-1, 1, 1)
    x = embed(network.tokens, prompts, of_run) + network.positions[:, None, :length]
    x = x.flatten(0, 1)
    caches = []
    for number, layer in enumerate(network.layers):
        q, k, v = policies.project(x, layer, [count] * runs)
        caches.append(_Cache(k, v, each, tokens - 1))
        start = length - 1 if number == len(network.layers) - 1 else 0
        x = finish(x[:, start:], merge(attend(q[:, :, start:], k, v)), layer, [count] * runs)
    logits = apply(normed(x), network.head, [count] * runs).expand(-1, each, -1)
    drawn = [_draw(logits, uniform[:, :, 0].reshape(-1, each))]
    for step in range(1, tokens):
        ids = drawn[-1].ids.view(runs, count * each)
        x = embed(network.tokens, ids, of_run[:, 0]) + network.positions[:, length + step - 1].unsqueeze(1)
        x = x.view(runs * count, each, -1)
        for layer, cache in zip(network.layers, caches, strict=True):
            x = finish(x, cache.attend(policies, x, layer, [count] * runs), layer, [count] * runs)
        logits = apply(normed(x), network.head, [count] * runs)
        drawn.append(_draw(logits, uniform[:, :, step].reshape(-1, each)))
    return Answers(*(torch.stack(part, -1).view(uniform.shape) for part in zip(*drawn, strict=True)))


def _draw(logits: Tensor, uniform: Tensor) -> Answers:
    """Draw one token from each distribution."""
    log_p = torch.log_softmax(logits, -1)
    p = log_p.exp()
    total = p.cumsum(-1)
    ids = (total <= uniform.unsqueeze(-1) * total[..., -1:]).sum(-1).clamp_max(logits.shape[-1] - 1)
    return Answers(ids, log_p.gather(-1, ids.unsqueeze(-1)).squeeze(-1), -(p * log_p).sum(-1))


class _Cache:
    """Keys and values of a layer: a prompt's, which its answers share, and each answer's own so far."""

    def __init__(self, k: Tensor, v: Tensor, each: int, tokens: int):
        self.prompt_k, self.prompt_v = k.transpose(-1, -2), v
        rows, heads, _, width = k.shape
        self.k, self.v = (k.new_empty(rows, heads, each, tokens, width) for _ in range(2))
        self.filled = 0

    def attend(self, policies: Policies, x: Tensor, layer: Layer, counts: list[int]) -> Tensor:
        """Add the keys and values of one new token of every answer, and return what it attends to."""
        q, k, v = policies.project(x, layer, counts)
        self.k[..., self.filled, :], self.v[..., self.filled, :] = k, v
        self.filled += 1
        own_k, own_v = self.k[..., : self.filled, :], self.v[..., : self.filled, :]
        scores = torch.cat([q @ self.prompt_k, (own_k * q.unsqueeze(-2)).sum(-1)], -1) / math.sqrt(q.shape[-1])
        weights = scores.softmax(-1)
        of_prompt, of_answer = weights.split([scores.shape[-1] - self.filled, self.filled], -1)
        attended = of_prompt @ self.prompt_v + (of_answer.unsqueeze(-1) * own_v).sum(-2)
        return merge(attended)
