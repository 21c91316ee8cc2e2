"""Sampling by numbers of a sample's own: a draw depends on no other sample of its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from bandpo.core.methods.entropy import token_entropy

_MANTISSA = 53


def sample_seed(seed: int, task: str, problem: int, sample: int) -> int:
    """Return the seed of one sample, in 0..2^63 - 1; nothing but these four decides it.

    >>> sample_seed(0, "countdown", 3, 1) == sample_seed(0, "countdown", 3, 1) != sample_seed(0, "countdown", 3, 2)
    True
    """
    digest = hashlib.sha256(f"{seed}/{task}/{problem}/{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def uniforms(seed: int, count: int) -> np.ndarray:
    """Return `count` numbers of [0, 1) in steps of 2^-53, a prefix of any longer row of the same seed.

    >>> bool((uniforms(7, 3) == uniforms(7, 5)[:3]).all())
    True
    """
    raw = np.random.Philox(key=seed).random_raw(count)
    return np.atleast_1d(raw >> np.uint64(64 - _MANTISSA)) * 2.0**-_MANTISSA


class EntropyRecorder(LogitsProcessor):
    """A processor that notes the entropy of each step's distribution at the sampling temperature, no more."""

    def __init__(self, temperature: float):
        self.temperature = temperature
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.steps.append(token_entropy(scores.float() / self.temperature))
        return scores

    def table(self, steps: int) -> Tensor:
        """Return the entropies, (rows, steps); generation may run a step beyond what it returns."""
        return torch.stack(self.steps[:steps], -1)


class SeededChoice(LogitsProcessor):
    """A processor that draws each row's next token by its own numbers and leaves greedy decoding no other.

    The token is the first whose cumulative probability exceeds the number, in fp64.

    Args:
        seeds: one a row.
        steps: tokens to draw at most.
        device: of the scores.
    """

    def __init__(self, seeds: Sequence[int], steps: int, device: torch.device):
        table = np.stack([uniforms(seed, steps) for seed in seeds])
        self.uniforms = torch.from_numpy(table).to(device)
        self.step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        # Generation may run a step beyond the last, whose token it drops.
        step = min(self.step, self.uniforms.shape[1] - 1)
        self.step += 1
        tokens = choose(scores, self.uniforms[:, step])
        return torch.full_like(scores, float("-inf")).scatter_(-1, tokens[:, None], 0.0)


def choose(scores: Tensor, uniform: Tensor) -> Tensor:
    """Return the token at quantile `uniform` of softmax(scores): (rows, vocabulary), (rows,) -> (rows,).

    >>> choose(torch.tensor([[0.5, 0.25, 0.25]]).log().repeat(3, 1), torch.tensor([0.0, 0.6, 0.8])).tolist()
    [0, 1, 2]
    """
    cumulative = torch.softmax(scores.double(), -1).cumsum(-1)
    # A number of [0, 1 - 2^-53] times the total is below the total: some token always exceeds it.
    target = uniform.double() * cumulative[:, -1]
    return torch.searchsorted(cumulative, target[:, None], right=True).squeeze(-1)
