"""Siblings: different tokens that completions of one prompt drew in the very same context.

Of two siblings x and y, log p(x) - log p(y) is free of the normaliser. So

    another temperature     Δnew = a Δold, a = T_old/T_new, whatever the sampler
    truncation              d is one constant of the context: log of the mass that was kept
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bandpo.microscope.alignment.noise import normal_of_f
from bandpo.microscope.alignment.panel import Cells, dense, sums

FEWEST_CONTEXTS = 3


@dataclass(frozen=True)
class Siblings:
    """The cells of contexts in which more than one token was drawn.

    Attributes:
        new, old, d: (S,) means of each cell.
        weight: (S,) its tokens over scale², the inverse variance under noise, sigma left out.
        context: (S,) dense.
        contexts: how many.
    """

    new: Tensor
    old: Tensor
    d: Tensor
    weight: Tensor
    context: Tensor
    contexts: int

    @property
    def free(self) -> int:
        """Return the degrees of freedom that the contexts' means leave."""
        return len(self.d) - self.contexts

    def mean(self, values: Tensor) -> Tensor:
        """Return the weighted mean of each context."""
        weight = sums(self.weight, self.context, self.contexts)
        return sums(self.weight * values, self.context, self.contexts) / weight

    def centred(self, values: Tensor) -> Tensor:
        """Return values less the mean of their context."""
        return values - self.mean(values)[self.context]


def siblings(cells: Cells | None) -> Siblings | None:
    """Return the siblings of a batch, None where there are too few contexts that have any."""
    if cells is None or not len(cells):
        return None
    several = sums(torch.ones_like(cells.d), cells.context, cells.contexts)[cells.context] > 1
    context, contexts = dense(cells.context[several])
    if contexts < FEWEST_CONTEXTS:
        return None
    weight = cells.size[several] / cells.scale[several].square()
    new, old, d = cells.new[several], cells.old[several], cells.d[several]
    return Siblings(new, old, d, weight, context, contexts)


@dataclass(frozen=True)
class Slope:
    """Δnew = a Δold.

    Attributes:
        a: the ratio T_old/T_new.
        error: its standard error, clustered by context.
        explained: share of the variance of Δd beyond noise that a explains.
        plain: the same without taking noise off.
    """

    a: float
    error: float
    explained: float
    plain: float


def slope(family: Siblings, sigma: float) -> Slope:
    """Fit Δnew = a Δold with errors on both sides (total least squares)."""
    new, old, weight = family.centred(family.new), family.centred(family.old), family.weight
    nn, oo, no = (float((weight * x * y).sum()) for x, y in ((new, new), (old, old), (new, old)))
    if no <= 0 or oo <= 0:
        return Slope(math.nan, math.inf, 0.0, 0.0)
    a = (nn - oo + math.sqrt((nn - oo) ** 2 + 4 * no**2)) / (2 * no)
    rest = new - a * old
    per_context = sums(weight * old * rest, family.context, family.contexts)
    error = float(per_context.square().sum().sqrt()) / oo
    total, left = float((weight * (new - old).square()).sum()), float((weight * rest.square()).sum())
    noise = sigma**2 * family.free
    explained = 1 - max(left - noise, 0.0) / (total - noise) if total > noise else 0.0
    return Slope(a, error, explained, 1 - left / total if total > 0 else 0.0)


@dataclass(frozen=True)
class Constant:
    """How far d is one constant of the context.

    Attributes:
        share: of the mean square of d beyond noise that the contexts' means explain.
        at_least: the same less three standard errors of what is inside contexts.
        ratio: mean square of the contexts' means over noise.
        z: how many standard errors that is above 1.
        inside_z: how rare the mean square inside contexts is under noise, as a standard normal value.
        negative: share of the contexts' Σ z² beyond noise that lies below 0.
        mean: weighted mean of d over contexts.
    """

    share: float
    at_least: float
    ratio: float
    z: float
    inside_z: float
    negative: float
    mean: float


def constant(family: Siblings, sigma: float, repeats: int) -> Constant:
    """Split the mean square of d over siblings into that of the contexts' means and the rest.

    Args:
        family: the siblings.
        sigma: the noise, known from so many repeats.
        repeats: its degrees of freedom.
    """
    mean = family.mean(family.d)
    weight = sums(family.weight, family.context, family.contexts)
    between = weight * mean.square()
    within = float((family.weight * family.centred(family.d).square()).sum()) / max(family.free, 1)
    floor = sigma**2
    over = float(between.mean()) - floor
    most = within * (1 + 3 * math.sqrt(2 / max(family.free, 1) + 2 / repeats))
    # A context of k siblings adds the part inside once to each of its k - 1 degrees of freedom.
    share, at_least = (
        over / (over + max(inside - floor, 0.0) * len(family.d) / family.contexts) if over > 0 else 0.0
        for inside in (within, most)
    )
    z = over / (max(floor, within) * math.sqrt(2 / family.contexts + 2 / max(family.free, 1)))
    below = float((between - floor)[mean < 0].sum().clamp_min(0))
    above = float((between - floor)[mean > 0].sum().clamp_min(0))
    negative = below / (below + above) if below + above > 0 else 0.5
    inside_z = normal_of_f(within / floor, max(family.free, 1), repeats)
    return Constant(share, at_least, 1 + over / floor, z, inside_z, negative, float(mean.mean()))
