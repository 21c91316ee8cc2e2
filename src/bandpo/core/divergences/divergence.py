"""The divergences a trust region can be measured in, by name.

D_f(new || old) = Σ old f(new/old) for a convex f with f(1) = 0. BandPO bounds D_f over the whole vocabulary and
projects that region on the sampled token: among all new policies with ratio r on the token, the one that scales
every other token alike has the least divergence (Jensen), which is

    g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p)),

so the ratios the region allows are exactly those with g_f(p, r) <= δ (BandPO, arXiv 2603.04918, Theorem 1).
A `Divergence` holds f and, where one is known, a direct formula for the two roots; otherwise they are searched.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bandpo.core.checks import is_fake, is_traced, suggestion
from bandpo.core.divergences import closed
from bandpo.core.divergences.kl_table import kl_bound_toward, kl_lower_bound, kl_upper_bound
from bandpo.core.divergences.root_finder import MIN_SEARCHED_DELTA, Generator, root_bound
from bandpo.core.divergences.special import expm1

# A formula holds until the bounds bend at probabilities that fp32 has no normal number for.
MIN_DELTA = 1e-30

Bound = Callable[[Tensor, "float | Tensor"], Tensor]
Toward = Callable[[Tensor, "float | Tensor", Tensor], Tensor]


@dataclass(frozen=True)
class Divergence:
    """One f-divergence: its generator and the log-ratio bounds that follow from it.

    Attributes:
        name: the name it is registered under.
        f: generator, elementwise on ratios u > 0, convex, f(1) = 0; called with fp64 tensors.
        summary: what it is, in a line.
        supremum: the largest value it can take; a radius at or above it would allow everything.
        direct_upper, direct_lower: (logp, δ) -> log r, where a formula is known.
        direct_toward: (logp, δ, upward) -> the one of them each token asks for, where that costs less than both.

    >>> half = bandpo.Divergence("half-chi2", lambda u: (u - 1) ** 2 / 2, "χ²/2")
    >>> bandpo.band(torch.tensor([0.2]).log(), 0.025, half).high.exp()
    tensor([1.4472])
    """

    name: str
    f: Generator
    summary: str
    supremum: float = math.inf
    direct_upper: Bound | None = None
    direct_lower: Bound | None = None
    direct_toward: Toward | None = None

    def __reduce__(self) -> Any:
        """Pickle and copy by name what is registered, so that its f may be any function, and by value all else."""
        return (get_divergence, (self.name,)) if _REGISTRY.get(self.name) is self else super().__reduce__()

    @property
    def smallest_delta(self) -> float:
        """The smallest radius whose bounds are right: 1e-30 by formula, 1e-9 where they are searched for.

        >>> bandpo.get_divergence("kl").smallest_delta, bandpo.get_divergence("js").smallest_delta
        (1e-30, 1e-09)
        """
        is_direct = self.direct_upper is not None and self.direct_lower is not None
        return MIN_DELTA if is_direct else MIN_SEARCHED_DELTA

    def upper(self, logp: Tensor, delta: float | Tensor) -> Tensor:
        """Largest log r with g_f(p, r) <= δ; at most -logp. logp fp32 or fp64, <= 0."""
        return self._searched(logp, delta, upward=True) if self.direct_upper is None else self.direct_upper(logp, delta)

    def lower(self, logp: Tensor, delta: float | Tensor) -> Tensor:
        """Smallest log r with g_f(p, r) <= δ; -inf where q = 0 is allowed. logp fp32 or fp64, <= 0."""
        return (
            self._searched(logp, delta, upward=False) if self.direct_lower is None else self.direct_lower(logp, delta)
        )

    def toward(self, logp: Tensor, delta: float | Tensor, upward: Tensor) -> Tensor:
        """`upper` where the bool tensor `upward`, else `lower`; one solve where bounds are solved for."""
        if self.direct_toward is not None:
            return self.direct_toward(logp, delta, upward)
        if self.direct_upper is None and self.direct_lower is None:
            return self._searched(logp, delta, upward)
        return torch.where(upward, self.upper(logp, delta), self.lower(logp, delta))

    def _searched(self, logp: Tensor, delta: float | Tensor, upward: bool | Tensor) -> Tensor:
        known = _REGISTRY.get(self.name)
        has_name = self.name.startswith("alpha=") or (known is not None and known.f is self.f)
        if not is_traced() and not (has_name and is_fake(logp)):
            return root_bound(self.f, logp, delta, upward)
        if not has_name:
            raise ValueError(f"divergence {self.name!r}: register it first, compiled code finds its f by that name")
        radius = torch.as_tensor(delta, dtype=torch.float64, device=logp.device)
        upward = torch.as_tensor(upward, device=logp.device)
        return _root_bound_op(logp, radius.expand_as(logp), self.name, upward.expand_as(logp))


@torch.library.custom_op("bandpo::root_bound", mutates_args=())
def _root_bound_op(logp: Tensor, delta: Tensor, divergence: str, upward: Tensor) -> Tensor:
    """The root finder as one opaque node: unrolled into a compiler, its loop takes minutes to build."""
    return root_bound(get_divergence(divergence).f, logp, delta, upward)


@_root_bound_op.register_fake
def _(logp: Tensor, delta: Tensor, divergence: str, upward: Tensor) -> Tensor:
    return torch.empty_like(logp)


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
)
REVERSE_KL = Divergence("reverse-kl", _reverse_kl, "Kullback-Leibler KL(new || old)")
TV = Divergence("tv", _tv, "total variation", 1.0, closed.tv_upper, closed.tv_lower)
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


def _scaled_generator(u: Tensor, *, base: Divergence, factor: float) -> Tensor:
    return factor * base.f(u)


def _scaled_upper(logp: Tensor, delta: float | Tensor, *, base: Divergence, factor: float) -> Tensor:
    return base.upper(logp, delta / factor)


def _scaled_lower(logp: Tensor, delta: float | Tensor, *, base: Divergence, factor: float) -> Tensor:
    return base.lower(logp, delta / factor)


def alpha_divergence(alpha: float) -> Divergence:
    """The α-divergence, f(u) = (u^α - α u - (1 - α))/(α (α - 1)); f''(1) = 1 for every α.

    α = 2 is χ²/2, α = 1 reverse KL, α = 1/2 twice the squared Hellinger, α = 0 KL and α = -1 Neyman χ²/2: those
    five use the closed or special form, every other α the bracketed solver.

    Args:
        alpha: any finite real number.

    Raises:
        ValueError: α is not finite.

    >>> bandpo.alpha_divergence(2.0).upper(torch.tensor([-1.0]), 0.05).exp()
    tensor([1.4145])
    """
    alpha = float(alpha)
    if not math.isfinite(alpha):
        raise ValueError(f"alpha={alpha!r}: expected a finite number")
    known = {2.0: (CHI2, 0.5), 1.0: (REVERSE_KL, 1.0), 0.5: (HELLINGER, 2.0), 0.0: (KL, 1.0), -1.0: (NEYMAN_CHI2, 0.5)}
    value = repr(alpha).removesuffix(".0")
    name, summary = f"alpha={value}", f"α-divergence with α = {value}"
    if alpha in known:
        base, factor = known[alpha]
        if base.direct_upper is None:
            return Divergence(name, base.f, summary, base.supremum)
        f, upper, lower = (
            functools.partial(function, base=base, factor=factor)
            for function in (_scaled_generator, _scaled_upper, _scaled_lower)
        )
        return Divergence(name, f, summary, factor * base.supremum, upper, lower)
    supremum = 1 / (alpha * (1 - alpha)) if 0 < alpha < 1 else math.inf
    return Divergence(name, functools.partial(_alpha, alpha=alpha), summary, supremum)


def _alpha(u: Tensor, *, alpha: float) -> Tensor:
    """f of the α-divergence, written so that α close to 1 or to 0 loses no digits; α is neither."""
    if alpha >= 0.5:
        return (u * expm1((alpha - 1) * torch.log(u)) / (alpha - 1) - (u - 1)) / alpha
    return (expm1(alpha * torch.log(u)) / alpha - (u - 1)) / (alpha - 1)


_REGISTRY: dict[str, Divergence] = {
    d.name: d for d in (KL, REVERSE_KL, TV, CHI2, NEYMAN_CHI2, HELLINGER, LE_CAM, JS, JEFFREYS)
}


def divergences() -> dict[str, Divergence]:
    """Every registered divergence by name; `alpha=VALUE` names the members of the α-family besides.

    >>> list(bandpo.divergences())[:3]
    ['kl', 'reverse-kl', 'tv']
    """
    return dict(_REGISTRY)


def get_divergence(divergence: str | Divergence) -> Divergence:
    """The divergence of that name; `alpha=1.5` is the α-divergence with α = 1.5. A Divergence is returned as it is.

    Raises:
        ValueError: no divergence has that name.
        TypeError: neither a name nor a Divergence.

    >>> bandpo.get_divergence("chi2").summary
    'Pearson χ², Σ (new - old)²/old'
    """
    if isinstance(divergence, Divergence):
        return divergence
    if not isinstance(divergence, str):
        raise TypeError(f"divergence={divergence!r}: expected a name or a bandpo.Divergence")
    if divergence in _REGISTRY:
        return _REGISTRY[divergence]
    family, _, parameter = divergence.partition("=")
    if family == "alpha":
        try:
            return alpha_divergence(float(parameter))
        except ValueError:
            raise ValueError(f"divergence={divergence!r}: expected 'alpha=NUMBER', such as 'alpha=1.5'") from None
    near = suggestion(divergence, _REGISTRY)
    raise ValueError(f"divergence={divergence!r}: expected one of {', '.join(_REGISTRY)} or alpha=NUMBER{near}")


def check_generator(name: str, f: Generator) -> None:
    """Raise ValueError unless f(1) = 0 and f is elementwise, finite and convex for u between 1/100 and 100."""
    u = torch.logspace(-2, 2, 401, dtype=torch.float64)
    values, at_one = f(u), f(torch.ones(1, dtype=torch.float64)).item()
    if values.shape != u.shape:
        raise ValueError(f"{name}: f of {len(u)} ratios has shape {tuple(values.shape)}, expected one value each")
    if not torch.allclose(f(u.flip(0)[:200]), values.flip(0)[:200], rtol=1e-9, equal_nan=True):
        raise ValueError(f"{name}: f is not elementwise, its value at a ratio depends on the other ratios")
    if not abs(at_one) <= 1e-12:
        raise ValueError(f"{name}: f(1) = {at_one!r}, expected 0")
    if not torch.isfinite(values).all():
        raise ValueError(f"{name}: f(u) is not finite at u = {u[~torch.isfinite(values)][0].item():.4g}")
    slopes = values.diff() / u.diff()
    drop = slopes.diff() < -1e-9 * (1 + slopes[1:].abs())
    if drop.any():
        raise ValueError(f"{name}: f is not convex near u = {u[1:-1][drop][0].item():.4g}")


def register_divergence(name: str, f: Generator, *, summary: str = "", supremum: float = math.inf) -> Divergence:
    """Make any convex f with f(1) = 0 a divergence that `band` and every method take by name.

    Its bounds come from the bracketed solver. The checks here are quick; `bandpo.testing.check_divergence` is the
    whole conformance suite.

    Args:
        name: lower-case name, not yet taken.
        f: generator, elementwise on fp64 tensors of ratios u > 0.
        summary: what it is, in a line.
        supremum: the largest value the divergence can take, if finite.

    Raises:
        ValueError: the name is taken or malformed, f(1) is not 0, or f is not convex or not finite near 1.

    >>> quartic = bandpo.register_divergence("quartic", lambda u: (u - 1) ** 4)
    >>> quartic.upper(torch.tensor([-0.5]), 0.01).exp()
    tensor([1.2438])
    """
    if not name or name != name.lower() or not name.replace("-", "").isalnum():
        raise ValueError(f"name={name!r}: expected lower-case letters, digits and hyphens, such as 'my-divergence'")
    if name in _REGISTRY or name.startswith("alpha"):
        raise ValueError(f"name={name!r} is taken; names in use: {', '.join(_REGISTRY)}, alpha")
    check_generator(name, f)
    divergence = Divergence(name, f, summary or f"registered divergence {name}", supremum)
    _REGISTRY[name] = divergence
    return divergence
