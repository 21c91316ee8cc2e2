"""Which radius stops which share of the tokens: how far each moved, counted on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bandpo.core.divergences.projection import projected_divergence
from bandpo.core.divergences.special import expm1, phi
from bandpo.microscope.inspection.rule import Acted, Rule

_LOWEST, _HIGHEST, _BINS = -14.0, 3.0, 16384  # of log10 δ: 0.24 % a bin
CLIP, KL3 = "clip", "kl3"
# What the one radius of a method is called.
_RADII = {"atr-grpo": (KL3, ("delta",)), "grpo": (CLIP, ("eps_low", "eps_high"))}


def measure_of(what: Rule) -> tuple[str, tuple[str, ...]] | None:
    """Return what a method measures moves in and what its radius is called, None where it has not one radius.

    >>> from bandpo.microscope.inspection.rule import rule
    >>> measure_of(rule("band-kl")), measure_of(rule("dcpo"))
    (('kl', ('delta',)), None)
    """
    name = what.method.name
    if name in _RADII:
        return _RADII[name]
    options = what.options
    is_plain = not any(options.get(n) for n in ("delta_low", "delta_high", "eps_low", "eps_high", "relax"))
    is_plain = is_plain and options.get("lower", "band") == options.get("upper", "band") == "band"
    divergence = name.removeprefix("band-")
    if divergence == name or not is_plain or "delta" not in options or not what.is_interval:
        return None
    try:
        projected_divergence(torch.tensor([-1.0]), torch.tensor([0.0]), divergence)
    except ValueError:
        return None
    return divergence, ("delta",)


def distance(logp_old: Tensor, log_ratio: Tensor, measure: str) -> Tensor:
    """Return how far tokens moved: g_f(p, r), r - 1 - log r for "kl3", |r - 1| for "clip"; fp64."""
    log_ratio = log_ratio.double()
    if measure == CLIP:
        return expm1(log_ratio).abs()
    return phi(log_ratio) if measure == KL3 else projected_divergence(logp_old.double(), log_ratio, measure)


@dataclass
class Radii:
    """How far the tokens went that moved the way their advantage pushes, and what stops how many of them.

    Attributes:
        measure: what the moves are measured in.
        tokens: all that were counted, the others included.
        counts, sums: by distance on a log scale, how many tokens and Σ of their distances.
    """

    measure: str
    tokens: int = 0
    counts: Tensor = field(default_factory=lambda: torch.zeros(_BINS, dtype=torch.float64))
    sums: Tensor = field(default_factory=lambda: torch.zeros(_BINS, dtype=torch.float64))

    def add(self, tokens: Acted) -> None:
        """Count the tokens of a batch."""
        outward = tokens.advantages * tokens.log_ratio > 0
        moved = distance(tokens.logp_anchor[outward], tokens.log_ratio[outward], self.measure)
        moved = moved[torch.isfinite(moved) & (moved > 0)]
        place = ((moved.log10() - _LOWEST) * (_BINS / (_HIGHEST - _LOWEST))).clamp(0, _BINS - 1).long()
        self.counts += torch.bincount(place, minlength=_BINS)
        self.sums += torch.bincount(place, moved, minlength=_BINS)
        self.tokens += len(tokens.row)

    def stopped(self, radius: float) -> float:
        """Return the share of all tokens that a radius stops."""
        first = math.ceil((math.log10(radius) - _LOWEST) * _BINS / (_HIGHEST - _LOWEST))
        return self.counts[max(first, 0) :].sum().item() / max(self.tokens, 1)

    def for_share(self, share: float) -> float | None:
        """Return the radius that stops this share of all tokens, to 0.24 %; None where fewer tokens move outward."""
        beyond = self.counts.flip(0).cumsum(0)
        wanted = share * self.tokens
        if not self.tokens or wanted < 1 or beyond[-1] < wanted:
            return None
        place = _BINS - 1 - int(torch.searchsorted(beyond, wanted))
        return 10 ** (_LOWEST + place * (_HIGHEST - _LOWEST) / _BINS)

    def for_divergence(self, target: float) -> float | None:
        """Return the radius at which the mean of min(distance, radius) over all tokens is `target`.

        That is what a step would have moved on average had every token stopped at the radius; None where tokens
        did not move as far even without a region.
        """
        radii = torch.logspace(_LOWEST, _HIGHEST, _BINS + 1, dtype=torch.float64)[1:]
        below, beyond = self.sums.cumsum(0), self.counts.sum() - self.counts.cumsum(0)
        means = (below + radii * beyond) / max(self.tokens, 1)
        if means[-1] < target:
            return None
        return radii[int(torch.searchsorted(means, target).clamp_max(_BINS - 1))].item()
