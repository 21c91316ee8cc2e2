"""The divergences by their own names: generators, and direct formulas where they are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.divergences import closed
from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.kl_table import kl_bound_toward, kl_lower_bound, kl_upper_bound
from bandpo.core.divergences.moved import kl_moved, tv_moved


def _kl(u: Tensor) -> Tensor:
    return u - 1 - torch.log(u)


def _reverse_kl(u: Tensor) -> Tensor:
    return u * torch.log(u) - u + 1


def _tv(u: Tensor) -> Tensor:
    return (u - 1).abs() / 2


def _chi2(u: Tensor) -> Tensor:
    return (u - 1) ** 2


def _neyman_chi2(u: Tensor) -> Tensor:
    return (u - 1) ** 2 / u


def _hellinger(u: Tensor) -> Tensor:
    return (torch.sqrt(u) - 1) ** 2


def _le_cam(u: Tensor) -> Tensor:
    return (u - 1) ** 2 / (u + 1)


def _jeffreys(u: Tensor) -> Tensor:
    return (u - 1) * torch.log(u)


def _js(u: Tensor) -> Tensor:
    return 0.5 * (u * torch.log(2 * u / (1 + u)) + torch.log(2 / (1 + u)))


KL = Divergence(
    "kl",
    _kl,
    "Kullback-Leibler KL(old || new), the paper's",
    math.inf,
    kl_upper_bound,
    kl_lower_bound,
    kl_bound_toward,
    kl_moved,
)
REVERSE_KL = Divergence("reverse-kl", _reverse_kl, "Kullback-Leibler KL(new || old)")
TV = Divergence("tv", _tv, "total variation", 1.0, closed.tv_upper, closed.tv_lower, direct_g=tv_moved)
CHI2 = Divergence("chi2", _chi2, "Pearson χ², Σ (new - old)²/old", math.inf, closed.chi2_upper, closed.chi2_lower)
NEYMAN_CHI2 = Divergence(
    "neyman-chi2",
    _neyman_chi2,
    "Neyman χ², Σ (new - old)²/new",
    math.inf,
    closed.neyman_upper,
    closed.neyman_lower,
)
HELLINGER = Divergence(
    "hellinger",
    _hellinger,
    "squared Hellinger, Σ (√new - √old)²",
    2.0,
    closed.hellinger_upper,
    closed.hellinger_lower,
)
LE_CAM = Divergence(
    "le-cam",
    _le_cam,
    "Le Cam (triangular discrimination), Σ (new - old)²/(new + old)",
    2.0,
    closed.le_cam_upper,
    closed.le_cam_lower,
)
JS = Divergence("js", _js, "Jensen-Shannon, mean KL of old and new to their midpoint", math.log(2))
JEFFREYS = Divergence("jeffreys", _jeffreys, "Jeffreys, KL(old || new) + KL(new || old)")
