"""Which side the tokens were drawn from, and whether it was either.

Of two policies the one that drew the tokens has Σ d on its side, the log of the likelihood ratio. Under its own entropy
H a policy's draws have E[log p + H] = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.microscope.alignment.panel import Tokens


@dataclass(frozen=True)
class Drawn:
    """Which side drew the tokens.

    Attributes:
        log_odds: Σ d, the log of how much likelier the tokens are under the new side than under the old one.
        error: standard deviation that noise adds to it.
    """

    log_odds: float
    error: float

    @property
    def by(self) -> str:
        """Return "new" or "old" where the odds are 100 to 1 and noise does not make them, else ""."""
        if abs(self.log_odds) < math.log(100) + 3 * self.error:
            return ""
        return "new" if self.log_odds > 0 else "old"


def drawn(tokens: Tokens, sigma: float) -> Drawn:
    """Return the odds that the new side drew the tokens rather than the old one."""
    return Drawn(float(tokens.d.sum()), sigma * float(tokens.scale.square().sum().sqrt()))


@dataclass(frozen=True)
class Surprise:
    """How likely the drawn tokens are beside what the new side says of itself.

    Attributes:
        mean: of log p + H in nats, above 0 if the sampler was sharper; None without entropy.
        z: over its standard error.
        of_entropy: mean over the mean entropy.
        novelty_z: of the draws that were new in their context, less the mass that was still unseen there; below 0 if
            the sampler was sharper; None without shared contexts.
        both_z: of log p + H and novelty together, each over its standard error, above 0 if the sampler was sharper.
    """

    mean: float | None
    z: float
    of_entropy: float
    novelty_z: float | None
    both_z: float


def surprise(tokens: Tokens) -> Surprise | None:
    """Return the surprise under the new side, None without entropy and without shared contexts.

    Given the draws before, each term has mean 0 and no correlation with what came earlier: the terms' own squares give
    the error of their sum.
    """
    entropy, novelty = _log_p_plus_entropy(tokens), _novelty(tokens)
    if entropy is None and novelty is None:
        return None
    both = torch.zeros_like(tokens.d)
    for terms, sign in ((entropy, 1), (novelty, -1)):
        if terms is not None:
            both = both + sign * terms / terms.square().sum().sqrt()
    mean, share = None, 1.0
    if entropy is not None and tokens.entropy is not None:
        mean = float(entropy.mean())
        share = mean / max(float(tokens.entropy.nanmean()), 1e-9)
    z = 0.0 if entropy is None else _z(entropy)
    return Surprise(mean, z, share, None if novelty is None else _z(novelty), _z(both))


def _z(terms: Tensor) -> float:
    return float(terms.sum() / terms.square().sum().sqrt())


def _log_p_plus_entropy(tokens: Tokens) -> Tensor | None:
    if tokens.entropy is None:
        return None
    terms = torch.nan_to_num(tokens.new + tokens.entropy, nan=0.0, posinf=0.0, neginf=0.0)
    return terms if float(terms.square().sum()) > 0 else None


def _novelty(tokens: Tokens) -> Tensor | None:
    """Return, by token, 1 if it is new in its context less the probability of that: what the earlier draws there left.

    Only draws count before which at least half of the mass had been seen: there a truncated tail shows.
    """
    cells, count = tokens.cells, len(tokens)
    if cells is None or len(cells) == count:
        return None
    first = torch.full((len(cells),), count).scatter_reduce(0, cells.of, torch.arange(count), "amin")
    is_new = torch.zeros(count, dtype=torch.float64)
    is_new[first] = 1.0
    context = cells.context[cells.of]
    order = torch.argsort(context, stable=True)
    mass = (tokens.new.exp() * is_new)[order]
    before = torch.cumsum(mass, 0) - mass
    context = context[order]
    starts = torch.cat([context.new_ones(1, dtype=torch.bool), context[1:] != context[:-1]])
    before = before - before[starts][torch.cumsum(starts, 0) - 1]
    terms = torch.where(~starts & (before > 0.5), is_new[order] - (1 - before).clamp(0, 1), 0.0)
    back = torch.empty_like(terms)
    back[order] = terms
    return back if float(back.abs().sum()) > 1e-3 else None


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
