"""Which side the tokens were drawn from, and whether it was either.

Of two policies the one that drew the tokens has Σ d on its side, the log of the likelihood ratio. Under its own entropy
H a policy's draws have E[log p + H] = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

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
