"""Divergences by name: those of the literature, the α-family, and any f that a user registers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_name, suggestion
from bandpo.core.divergences import named
from bandpo.core.divergences.alpha import alpha_divergence
from bandpo.core.divergences.divergence import REGISTRY, Divergence
from bandpo.core.divergences.root_finder import Generator, root_bound

REGISTRY.update(
    (divergence.name, divergence)
    for divergence in (
        named.KL,
        named.REVERSE_KL,
        named.TV,
        named.CHI2,
        named.NEYMAN_CHI2,
        named.HELLINGER,
        named.LE_CAM,
        named.JS,
        named.JEFFREYS,
    )
)


def divergences() -> dict[str, Divergence]:
    """Return every registered divergence by name; `alpha=VALUE` names the members of the α-family besides.

    >>> list(bandpo.divergences())[:3]
    ['kl', 'reverse-kl', 'tv']
    """
    return dict(REGISTRY)


def get_divergence(divergence: str | Divergence) -> Divergence:
    """Return the divergence of that name; `alpha=1.5` is the α-divergence of α = 1.5. A Divergence stays itself.

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
    if divergence in REGISTRY:
        return REGISTRY[divergence]
    family, _, parameter = divergence.partition("=")
    if family == "alpha":
        try:
            return alpha_divergence(float(parameter))
        except ValueError:
            raise ValueError(f"divergence={divergence!r}: expected 'alpha=NUMBER', such as 'alpha=1.5'") from None
    near = suggestion(divergence, REGISTRY)
    raise ValueError(f"divergence={divergence!r}: expected one of {', '.join(REGISTRY)} or alpha=NUMBER{near}")


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
    check_name(name, "my-divergence")
    if name in REGISTRY or name.startswith("alpha"):
        raise ValueError(f"name={name!r} is taken; names in use: {', '.join(REGISTRY)}, alpha")
    check_generator(name, f)
    divergence = Divergence(name, f, summary or f"registered divergence {name}", supremum)
    REGISTRY[name] = divergence
    return divergence


@torch.library.custom_op("bandpo::root_bound", mutates_args=())
def _root_bound_op(logp: Tensor, delta: Tensor, divergence: str, upward: Tensor) -> Tensor:
    """Find the root as one opaque node: unrolled into a compiler, the loop takes minutes to build."""
    return root_bound(get_divergence(divergence).f, logp, delta, upward)


@_root_bound_op.register_fake
def _(logp: Tensor, delta: Tensor, divergence: str, upward: Tensor) -> Tensor:
    return torch.empty_like(logp)
