"""Band bounds to 50 digits, from nothing but the definition: g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p)) = δ.

The root is bracketed in t, the shift in log-odds between the token and all others, and refined by Ridders' method in
mpmath at 120 digits. No formula of `bandpo.core` is used. Every root is inserted back into g_f before it is returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath

mp: Any = mpmath.mp.clone()
mp.dps = 120

_RESIDUAL = mp.mpf(10) ** -50
_DIRECT_RESIDUAL = mp.mpf(10) ** -30


class Generator(NamedTuple):
    """f, its derivative, and its value at 0, in mpmath."""

    f: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    at_zero: Any


class Bound(NamedTuple):
    """log r as an unevaluated sum of two doubles; whether it is an end of the simplex; d log r / d log p."""

    high: float
    low: float
    saturated: bool
    slope: float


def _alpha(alpha: float) -> Generator:
    a = mp.mpf(alpha)
    return Generator(
        lambda u: (u**a - a * u - (1 - a)) / (a * (a - 1)),
        lambda u: (u ** (a - 1) - 1) / (a - 1),
        1 / a if a > 0 else mp.inf,
    )


GENERATORS = {
    "kl": Generator(lambda u: u - 1 - mp.log(u), lambda u: 1 - 1 / u, mp.inf),
    "reverse-kl": Generator(lambda u: u * mp.log(u) - u + 1, mp.log, mp.mpf(1)),
    "tv": Generator(lambda u: abs(u - 1) / 2, lambda u: mp.sign(u - 1) / 2, mp.mpf(1) / 2),
    "chi2": Generator(lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1), mp.mpf(1)),
    "neyman-chi2": Generator(lambda u: (u - 1) ** 2 / u, lambda u: 1 - 1 / u**2, mp.inf),
    "hellinger": Generator(lambda u: (mp.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / mp.sqrt(u), mp.mpf(1)),
    "le-cam": Generator(lambda u: (u - 1) ** 2 / (u + 1), lambda u: (u - 1) * (u + 3) / (u + 1) ** 2, mp.mpf(1)),
    "js": Generator(
        lambda u: (u * mp.log(2 * u / (1 + u)) + mp.log(2 / (1 + u))) / 2,
        lambda u: mp.log(2 * u / (1 + u)) / 2,
        mp.log(2) / 2,
    ),
    "jeffreys": Generator(lambda u: (u - 1) * mp.log(u), lambda u: mp.log(u) + 1 - 1 / u, mp.inf),
    **{f"alpha={alpha:g}": _alpha(alpha) for alpha in (1.5, -0.5, 3.0)},
}


def bound(name: str, logp: float, delta: float, upward: bool) -> Bound:
    """The bound of one divergence at one exact double `logp` and radius; "kl-mirror" is KL's bound of 1 - p, negated.

    Raises:
        ArithmeticError: the root does not satisfy g_f(p, r) = δ.

    >>> round(bound("tv", -1.0, 0.05, upward=True).high, 12)       # log(1 + 0.05 e)
    0.127437693692
    """
    p, w = mp.exp(mp.mpf(logp)), -mp.expm1(mp.mpf(logp))
    if name != "kl-mirror":
        return _packed(*_solve(GENERATORS[name], p, w, mp.mpf(delta), upward))
    log_ratio, _, slope = _solve(GENERATORS["kl"], w, p, mp.mpf(delta), not upward)
    if upward and -log_ratio >= -mp.mpf(logp):
        return _packed(-mp.mpf(logp), True, mp.mpf(-1))
    return _packed(-log_ratio, False, slope * p / w)


def _packed(log_ratio: Any, saturated: bool, slope: Any) -> Bound:
    high = float(log_ratio)
    return Bound(high, float(log_ratio - high) if math.isfinite(high) else 0.0, saturated, float(slope))


def _solve(generator: Generator, p: Any, w: Any, delta: Any, upward: bool) -> tuple[Any, bool, Any]:
    """log r, whether it is an end of the simplex, d log r / d log p; a is the side that grows, b that which shrinks."""
    f, (a, b) = generator.f, (p, w) if upward else (w, p)
    if a * f(1 / a) + b * generator.at_zero <= delta:
        return (-mp.log(p), True, mp.mpf(-1)) if upward else (-mp.inf, True, mp.mpf(0))

    def ratios(z: Any) -> tuple[Any, Any]:
        t = mp.exp(z)
        shrinks = 1 / (1 + a * mp.expm1(t))
        return mp.exp(t) * shrinks, shrinks

    def excess(z: Any) -> Any:
        grows, shrinks = ratios(z)
        return mp.log((a * f(grows) + b * f(shrinks)) / delta)

    grows, shrinks = ratios(_ridders(excess, mp.log(2 * delta / (p * w)) / 2))
    r, c = (grows, shrinks) if upward else (shrinks, grows)
    _verify(f, p, w, r, delta)
    slope = generator.slope
    return mp.log(r), False, -(f(r) - f(c) - slope(c) * (r - c)) / (r * (slope(r) - slope(c)))


def _verify(f: Callable[[Any], Any], p: Any, w: Any, r: Any, delta: Any) -> None:
    """Insert r in the definition, where 120 digits can subtract r p from 1."""
    left = 1 - r * p
    if left > mp.mpf(10) ** -40:
        residual = (p * f(r) + w * f(left / w)) / delta - 1
        if abs(residual) > _DIRECT_RESIDUAL:
            raise ArithmeticError(f"p = {mp.nstr(p)}, δ = {mp.nstr(delta)}: g/δ - 1 = {mp.nstr(residual)}, expected 0")


def _ridders(function: Callable[[Any], Any], start: Any) -> Any:
    """The root of an increasing function, bracketed from `start` by steps that double; |function| < 1e-50 there."""
    low = high = start
    f_low = f_high = function(start)
    step = mp.mpf(1)
    while f_low > 0:
        low, step = low - step, 2 * step
        f_low = function(low)
    while f_high < 0:
        high, step = high + step, 2 * step
        f_high = function(high)
    while True:
        middle = (low + high) / 2
        f_middle = function(middle)
        if abs(f_middle) < _RESIDUAL:
            return middle
        x = middle - (middle - low) * f_middle / mp.sqrt(f_middle**2 - f_low * f_high)
        f_x = function(x)
        if abs(f_x) < _RESIDUAL:
            return x
        for point, value in ((middle, f_middle), (x, f_x)):
            if value < 0 and point > low:
                low, f_low = point, value
            elif value > 0 and point < high:
                high, f_high = point, value
