"""What must hold of a generator f and of the bounds that follow from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.registry import check_generator, get_divergence
from bandpo.core.divergences.root_finder import Generator, root_bound
from bandpo.core.regions.band import band

DELTAS = (1e-6, 1e-4, 0.01, 0.05, 0.3, 1.0, 5.0)
"""Radii tested unless told; those at or above the divergence's supremum are left out."""

LOGPS = tuple(
    torch.cat([-torch.logspace(-9, 2, 67), torch.tensor([0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999]).log()])
    .sort()
    .values.tolist()
)
"""Log-probs tested unless told, ascending, each exact in fp32."""

# A bound is right if g_f crosses δ within this relative distance of its log-ratio.
_TOLERANCE = 1e-6
# f and g are evaluated in fp64; this much of their value is rounding.
_NOISE = 1e-9
# Log-ratios below these are 0 as far as g (fp64) and a policy's ratio (fp32) are concerned.
_LOG_ZERO, _LOG_ZERO_FP32 = -600.0, -85.0
_FEW_ULP = 1e-14


class _Bounds(NamedTuple):
    """A divergence and its bounds, (radii, log-probs), over the grid logp (1, log-probs) x delta (radii, 1)."""

    divergence: Divergence
    logp: Tensor
    delta: Tensor
    low: Tensor
    high: Tensor


def check_divergence(
    f: Generator | Divergence | str,
    *,
    supremum: float = math.inf,
    deltas: Sequence[float] = DELTAS,
    logps: Sequence[float] = LOGPS,
    compiled: bool = False,
) -> None:
    """Check every property BandPO relies on; returns nothing, raises at the first that fails.

    1. f(1) = 0, f is finite, elementwise and convex; D_f does not exceed its supremum.
    2. The interval contains 0 and stays inside the simplex, r <= 1/p.
    3. g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p)), evaluated here on its own, crosses δ at every bound, and is
       still below δ just inside an end of the simplex.
    4. A larger radius never narrows the interval, a larger probability never widens it.
    5. p = 0 and p = 1, and the way there, give no NaN and the right ends.
    6. A direct formula agrees with the bracketed solver, fp32 with fp64, a tensor of radii with a number, and with
       `compiled` the code of torch.compile with eager code.

    Args:
        f: a generator, elementwise on fp64 ratios u > 0; a `bandpo.Divergence`; or a registered name.
        supremum: largest value D_f can take, for a plain generator.
        deltas: radii to test.
        logps: log-probs to test, negative.
        compiled: compile the bounds too; takes a C++ compiler and some seconds, and a name that is registered.

    Raises:
        ValueError: f itself is not a generator.
        AssertionError: a bound is wrong; names the property, the probability and the radius.

    >>> bandpo.testing.check_divergence("hellinger")
    >>> bandpo.testing.check_divergence(lambda u: (u - 1) ** 4)
    >>> bandpo.testing.check_divergence(lambda u: torch.log(u))
    Traceback (most recent call last):
        ...
    ValueError: f: f is not convex near u = 0.01023
    """
    divergence = _as_divergence(f, supremum)
    check_generator(divergence.name, divergence.f)
    radii = sorted(delta for delta in deltas if delta < divergence.supremum)
    if not radii:
        raise ValueError(f"deltas={tuple(deltas)}: expected one below the supremum {divergence.supremum:g}")
    bounds = _bounds(divergence, torch.tensor(sorted(logps), dtype=torch.float64), _column(radii))
    _check_supremum(bounds)
    _check_contains_one(bounds)
    _check_roots(bounds)
    _check_monotone(bounds)
    _check_limits(bounds)
    _check_number_radius_agrees(bounds)
    _check_fp32_agrees(bounds)
    if divergence.direct_lower is not None or divergence.direct_upper is not None:
        _check_solver_agrees(bounds)
    if compiled:
        _check_compiled_agrees(bounds)


def _as_divergence(f: Generator | Divergence | str, supremum: float) -> Divergence:
    if isinstance(f, (str, Divergence)):
        return get_divergence(f)
    name = getattr(f, "__name__", "f")
    return Divergence("f" if name == "<lambda>" else name, f, "under test", supremum)


def _column(radii: Sequence[float]) -> Tensor:
    return torch.tensor(radii, dtype=torch.float64)[:, None]


def _bounds(divergence: Divergence, logp: Tensor, delta: Tensor) -> _Bounds:
    grid, radius = logp.expand(len(delta), -1), delta.to(logp.dtype)
    return _Bounds(divergence, logp[None], delta, divergence.lower(grid, radius), divergence.upper(grid, radius))


def _require(holds: Tensor, claim: str, bounds: _Bounds, **values: Tensor) -> None:
    """Raise at the first grid point where `holds` is false, naming the claim, the point and the values there."""
    if holds.all():
        return
    row, column = (~holds).nonzero()[0].tolist()
    logp, delta = bounds.logp[0, column].item(), bounds.delta[row, 0].item()
    found = ", ".join(f"{name} = {value.expand_as(holds)[row, column].item():.9g}" for name, value in values.items())
    raise AssertionError(
        f"{bounds.divergence.name}: {claim} fails at p = {math.exp(logp):.6g} (logp = {logp:.9g}), "
        f"δ = {delta:g}: {found}"
    )


def _projected(f: Generator, logp: Tensor, log_ratio: Tensor) -> Tensor:
    """Return g_f(p, r) in fp64 from log p and log r, the other tokens' ratio c from the form that keeps its digits."""
    p, w, log_q = torch.exp(logp), -torch.expm1(logp), logp + log_ratio
    c = torch.where(log_q > -0.5, -torch.expm1(log_q) / w, 1 - p * torch.expm1(log_ratio) / w)
    ratios = torch.exp(log_ratio.clamp_min(_LOG_ZERO)), c.clamp_min(math.exp(_LOG_ZERO))
    return p * f(ratios[0]) + w * f(ratios[1])


def _check_supremum(bounds: _Bounds) -> None:
    divergence = bounds.divergence
    largest = _projected(divergence.f, bounds.logp, -bounds.logp)
    expected = torch.full_like(largest, divergence.supremum)
    _require(largest <= expected * (1 + _NOISE), "g_f(p, 1/p) <= supremum", bounds, g=largest, supremum=expected)


def _check_contains_one(bounds: _Bounds) -> None:
    low, high = bounds.low, bounds.high
    _require(low <= 0, "lower log-ratio <= 0", bounds, low=low)
    _require(high >= 0, "upper log-ratio >= 0", bounds, high=high)
    _require(high <= -bounds.logp, "upper log-ratio <= -log p (new probability <= 1)", bounds, high=high)


def _check_roots(bounds: _Bounds) -> None:
    """Check g_f <= δ just inside each bound and >= δ just outside, unless that is beyond the simplex or below fp64."""
    f, logp, delta = bounds.divergence.f, bounds.logp, bounds.delta
    for side, bound in (("lower", bounds.low), ("upper", bounds.high)):
        inside = (bound * (1 - _TOLERANCE)).clamp_min(_LOG_ZERO)
        g = _projected(f, logp, inside)
        _require(g <= delta * (1 + _NOISE), f"g_f <= δ just inside the {side} bound", bounds, g=g, bound=bound)
        outside = bound * (1 + _TOLERANCE)
        beyond = (outside + logp > 0) | (outside < _LOG_ZERO)
        g = _projected(f, logp, torch.where(beyond, inside, outside))
        claim = f"g_f >= δ just outside the {side} bound"
        _require(beyond | (g >= delta * (1 - _NOISE)), claim, bounds, g=g, bound=bound)


def _check_monotone(bounds: _Bounds) -> None:
    """Check that bounds beside each other on the grid stand in order, up to a few ulp of the larger."""
    outward = {"lower": -bounds.low, "upper": bounds.high}
    for side, size in outward.items():
        slack = _FEW_ULP * size.clamp_max(1e300)
        wider, narrower = size[1:] + slack[1:], size[:-1]
        grown = bounds._replace(delta=bounds.delta[1:])
        _require(wider >= narrower, f"the {side} bound widens with δ", grown, bound=size[1:], smaller_δ=size[:-1])
        wider, narrower = size[:, :-1] + slack[:, :-1], size[:, 1:]
        likelier = bounds._replace(logp=bounds.logp[:, 1:])
        _require(wider >= narrower, f"the {side} bound narrows with p", likelier, bound=narrower, smaller_p=wider)


def _check_limits(bounds: _Bounds) -> None:
    logp = torch.tensor([-math.inf, -1e4, -600.0, -300.0, -100.0, -1e-12, -1e-20, -1e-30, 0.0], dtype=torch.float64)
    for dtype in (torch.float64, torch.float32):
        ends = _bounds(bounds.divergence, logp.to(dtype), bounds.delta)
        for side, bound in (("lower", ends.low), ("upper", ends.high)):
            claim = f"the {side} bound in {dtype} is a number towards p = 0 and 1"
            _require(~torch.isnan(bound), claim, ends, bound=bound)
        finite = torch.isfinite(ends.high) | torch.isinf(ends.logp)
        _require(finite, "the upper log-ratio is finite for p > 0", ends, high=ends.high)
        _require(ends.high <= -ends.logp, "the upper log-ratio <= -log p towards p = 0 and 1", ends, high=ends.high)


def _check_close(bounds: _Bounds, other: _Bounds, claim: str, tolerance: float, zero: float) -> None:
    """Log-ratios below `zero` are the same ratio, 0."""
    for side, bound, found in (("lower", bounds.low, other.low), ("upper", bounds.high, other.high)):
        bound, found = bound.clamp_min(zero), found.to(bound.dtype).clamp_min(zero)
        close = (found - bound).abs() <= tolerance * bound.abs()
        _require(close, f"{side} bound: {claim}", bounds, bound=bound, other=found)


def _check_number_radius_agrees(bounds: _Bounds) -> None:
    divergence, logp = bounds.divergence, bounds.logp[0]
    low = torch.stack([divergence.lower(logp, delta) for delta in bounds.delta[:, 0].tolist()])
    high = torch.stack([divergence.upper(logp, delta) for delta in bounds.delta[:, 0].tolist()])
    _check_close(bounds, bounds._replace(low=low, high=high), "number δ = tensor δ", 1e-9, _LOG_ZERO)


def _check_fp32_agrees(bounds: _Bounds) -> None:
    """Check that fp32 bounds lie between the fp64 bounds of log-probs four fp32 ulp to either side."""
    divergence, logp, delta = bounds.divergence, bounds.logp[0].float(), bounds.delta.float().double()
    single = _bounds(divergence, logp, delta)
    rarer, likelier = (_bounds(divergence, logp.double() * (1 + step), delta) for step in (2**-21, -(2**-21)))
    for side, found, least, most in (
        ("lower", single.low, rarer.low, likelier.low),
        ("upper", single.high, likelier.high, rarer.high),
    ):
        found, least, most = (bound.double().clamp_min(_LOG_ZERO_FP32) for bound in (found, least, most))
        slack = 1e-5 * most.abs()
        close = (found >= least - slack) & (found <= most + slack)
        _require(close, f"{side} bound: fp32 = fp64", single, fp32=found, fp64=least)


def _check_solver_agrees(bounds: _Bounds) -> None:
    f, logp = bounds.divergence.f, bounds.logp.expand_as(bounds.low)
    low, high = (root_bound(f, logp, bounds.delta, upward) for upward in (False, True))
    solved = bounds._replace(low=low, high=high)
    _check_close(bounds, solved, "direct formula = bracketed solver", _TOLERANCE, _LOG_ZERO)


def _check_compiled_agrees(bounds: _Bounds) -> None:
    logp, delta = bounds.logp.expand_as(bounds.low).contiguous(), bounds.delta
    for dtype, tolerance, zero in ((torch.float32, 1e-5, _LOG_ZERO_FP32), (torch.float64, 1e-9, _LOG_ZERO)):
        inputs = logp.to(dtype), delta.to(dtype)
        function = torch.compile(lambda x, radius: band(x, radius, bounds.divergence), fullgraph=True, dynamic=False)
        eager, compiled = band(*inputs, bounds.divergence), function(*inputs)
        single = bounds._replace(low=eager.low.double(), high=eager.high.double())
        found = bounds._replace(low=compiled.low, high=compiled.high)
        _check_close(single, found, f"compiled = eager in {dtype}", tolerance, zero)
