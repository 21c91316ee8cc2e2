"""Which side the tokens were drawn from.

A policy's own samples have E[e^d] = 1 if it is the old one, E[e^-d] = 1 if it is the new one, and, with its entropy H,
E[log p + H] = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.microscope.alignment.panel import Tokens, dense, sums


@dataclass(frozen=True)
class Sides:
    """How far the tokens are from being drawn by either side.

    Attributes:
        old: z of mean(e^d) - 1: near 0 if the tokens came from the old side.
        new: z of mean(e^-d) - 1: near 0 if they came from the new side.
    """

    old: float
    new: float

    @property
    def sampler(self) -> str:
        """Return "old" or "new" where one side is refused and the other is not, "" where they cannot be told."""
        if abs(self.old) > 4 and abs(self.new) < abs(self.old) / 2:
            return "new"
        if abs(self.new) > 4 and abs(self.old) < abs(self.new) / 2:
            return "old"
        return ""


def sides(tokens: Tokens, sigma: float) -> Sides:
    """Return both z, clustered by row; noise on one side raises E[e^±d] by sigma²/2 and is taken off."""
    drift = (sigma * tokens.scale).square() / 2
    return Sides(*(_z_by_row(torch.exp((s * tokens.d - drift).clamp_max(20.0)) - 1, tokens.row) for s in (1, -1)))


def _z_by_row(values: Tensor, row: Tensor) -> float:
    index, rows = dense(row)
    by_row = sums(values, index, rows)
    error = float(by_row.square().sum().sqrt())
    return float(by_row.sum()) / error if error > 0 else 0.0


@dataclass(frozen=True)
class Surprise:
    """How the drawn tokens' log-probs compare with the entropy of the policy that scored them.

    Attributes:
        mean: of log p + H in nats, above 0 if the sampler was sharper.
        z: over its standard error.
        of_entropy: mean over the mean entropy.
    """

    mean: float
    z: float
    of_entropy: float


def surprise(tokens: Tokens) -> Surprise | None:
    """Return the surprise under the new side, None without entropy.

    Given the tokens before, log p + H has mean 0 and no correlation with what came earlier: the tokens' own squares
    give the error of its mean.
    """
    if tokens.entropy is None or not len(tokens):
        return None
    known = torch.isfinite(tokens.entropy)
    x = (tokens.new + tokens.entropy)[known]
    error = float(x.square().sum().sqrt())
    if not len(x) or error == 0:
        return None
    mean, entropy = float(x.mean()), float(tokens.entropy[known].mean())
    return Surprise(mean, float(x.sum()) / error, mean / max(entropy, 1e-9))


@dataclass(frozen=True)
class EntropySlope:
    """d = b (log p_new + H_new), to first order what another temperature does; a = T_old/T_new = 1/(1 - b)."""

    a: float
    explained: float


def entropy_slope(tokens: Tokens) -> EntropySlope | None:
    """Fit d to log p + H of the new side; None without entropy."""
    if tokens.entropy is None or len(tokens) < 8:
        return None
    x = tokens.new + tokens.entropy
    known = torch.isfinite(x)
    x, d = x[known], tokens.d[known]
    square, total = float(x.square().sum()), float(d.square().sum())
    if square == 0 or total == 0:
        return None
    b = float((x * d).sum()) / square
    left = float((d - b * x).square().sum())
    return EntropySlope(1 / (1 - b) if b < 1 else math.inf, 1 - left / total)
