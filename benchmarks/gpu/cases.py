"""Batches, and a pass of the loss forward and backward: by the kernel, and by the torch code in fp64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

import bandpo
from bandpo.core.objective.fused import packed_region
from bandpo.core.objective.reference_kl import ESTIMATORS

Options = Mapping[str, Any]
# Settings of the fused methods that no method has by default.
SETTINGS: tuple[tuple[str, Options], ...] = (
    ("band-kl", {"max_ratio": 2.0, "dual_clip": 2.5}),
    ("band-kl", {"delta_low": 0.01, "delta_high": 0.2}),
    ("band-kl", {"relax": (0.2, 0.28)}),
    ("band-kl", {"lower": "none"}),
    ("band-tv", {"upper": "none"}),
    ("band-kl", {"delta": "of each row"}),
    ("band-chi2", {"delta": "of each row"}),
    ("band-upper", {"importance_cap": 2.0, "logp_rollout": "twice logp_old"}),
    *(("band-kl", {"beta": 0.1, "kl_estimator": k, "logp_ref": "twice logp_old"}) for k in ESTIMATORS),
    ("grpo", {"beta": 0.1, "kl_estimator": "k3", "kl_cap": 0.5, "logp_ref": "twice logp_old"}),
)
OF_REFERENCE = frozenset({"beta", "kl_estimator", "kl_cap", "logp_ref"})


class Batch(NamedTuple):
    """The arguments of a loss that are tensors; masked positions hold NaN and infinity."""

    logp: Tensor
    logp_old: Tensor
    advantages: Tensor
    mask: Tensor

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        return Batch(*(tensor.to(device) for tensor in self))


# Tensors among the settings, by the name that stands there; both are the same numbers in every dtype.
DERIVED: Mapping[str, Callable[[Batch], Tensor]] = {
    "of each row": lambda given: torch.linspace(0.01, 0.2, len(given.logp), device=given.logp.device).unsqueeze(1),
    "twice logp_old": lambda given: 2 * given.logp_old,
}


class Pass(NamedTuple):
    """What a pass gives: loss, gradient of the loss times `upstream`, loss of every token, sums and counts."""

    loss: Tensor
    gradient: Tensor
    per_token: Tensor
    sums: Tensor


def served() -> list[tuple[str, Options]]:
    """Return every setting that is tested: all methods that the fused kernel serves, and `SETTINGS`.

    >>> [name for name, _ in served()][:3]
    ['grpo', 'clip-higher', 'dual-clip']
    """
    methods = bandpo.methods().values()
    names = [one.name for one in methods if not one.inputs and packed_region(one, one.resolve({})) is not None]
    return [*((name, {}) for name in names), *SETTINGS]


def batch(rows: int, tokens: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Batch:
    """Return a ragged batch on the CPU, rare and likely tokens alike, its last row masked if there are several."""
    generator = torch.Generator().manual_seed(seed)
    old = -torch.exp(torch.rand(rows, tokens, generator=generator) * 14 - 11)
    new = (old + 0.4 * torch.randn(rows, tokens, generator=generator)).clamp_max(-1e-6)
    mask = torch.rand(rows, tokens, generator=generator) > 0.2
    if rows > 1:
        mask[-1] = False
    advantages = torch.randn(rows, generator=generator)
    if rows > 2:
        advantages[1] = 0.0
    new, old = torch.where(mask, new, math.nan), torch.where(mask, old, math.inf)
    return Batch(new.to(dtype), old.to(dtype), advantages, mask)


def passed(given: Batch, method: str, options: Options, *, kernel: str = "triton", metrics: bool = True) -> Pass:
    """Run a loss forward and backward; the gradient is that of the loss times the number of tokens that count."""
    logp = given.logp.detach().requires_grad_()
    options = {name: DERIVED[value](given) if value in DERIVED else value for name, value in options.items()}
    out = bandpo.policy_loss(logp, *given[1:], method=method, kernel=kernel, metrics=metrics, check=False, **options)
    upstream = given.mask.sum().clamp_min(1).to(out.loss.dtype)
    (gradient,) = torch.autograd.grad(out.loss, logp, upstream)
    pairs = [torch.stack([x.to(out.loss) for x in pair]) for pair in out.metrics.values()]
    sums = torch.stack(pairs) if pairs else out.loss.new_zeros(0)
    return Pass(out.loss.detach(), gradient, out.per_token.detach(), sums.detach())


class Reference(NamedTuple):
    """The torch code in fp64.

    Attributes:
        exact: a pass of it.
        lower, higher: the gradient where every log-ratio is a rounding's width lower and higher.
        size: what an error of the gradient is measured by: of the method's and the reference KL's, which may cancel,
            both sizes.
    """

    exact: Pass
    lower: Tensor
    higher: Tensor
    size: Tensor


def reference(given: Batch, method: str, options: Options, *, metrics: bool = True) -> Reference:
    """Return what the torch code gives in fp64 where the batch lies; log-ratios are moved by 2e-6 of themselves."""
    wide = Batch(given.logp.double(), given.logp_old.double(), given.advantages.double(), given.mask)
    width = 2e-6 * torch.where(given.mask, wide.logp - wide.logp_old, 0.0).abs() + 1e-12
    shifted = [wide._replace(logp=wide.logp + sign * width) for sign in (-1, 1)]
    lower, higher = (passed(one, method, options, kernel="torch", metrics=False).gradient for one in shifted)
    exact = passed(wide, method, options, kernel="torch", metrics=metrics)
    alone = {name: value for name, value in options.items() if name not in OF_REFERENCE}
    own = passed(wide, method, alone, kernel="torch", metrics=False).gradient
    return Reference(exact, lower, higher, own.abs() + (exact.gradient - own).abs())


def wrong_decisions(found: Tensor, truth: Reference) -> int:
    """Count the tokens that learn where fp64 stops them, or the other way round, and not for a rounding's sake."""
    learns = found != 0
    # A 16-bit gradient may vanish.
    vanishes = (found == 0) & (truth.exact.gradient.abs() < torch.finfo(found.dtype).smallest_normal)
    right = [learns == (other != 0) for other in (truth.exact.gradient, truth.lower, truth.higher)]
    return int((~(right[0] | right[1] | right[2] | vanishes)).sum())


def errors(found: Pass, truth: Reference) -> Iterator[tuple[str, float]]:
    """Yield (question, error) of a pass that has been moved to where the reference lies."""
    exact, dtype = truth.exact, found.gradient.dtype
    yield "decisions", wrong_decisions(found.gradient, truth)
    both = (found.gradient != 0) & (exact.gradient.abs() >= torch.finfo(dtype).smallest_normal)
    relative = ((found.gradient.double() - exact.gradient).abs() / truth.size)[both]
    worst = relative.max().item() if relative.numel() else 0.0
    yield ("gradients", worst) if dtype == torch.float32 else ("gradients16", worst / torch.finfo(dtype).eps)
    scale = exact.per_token.abs().sum() / (exact.per_token != 0).sum().clamp_min(1)
    yield "losses", ((found.loss.double() - exact.loss).abs() / scale.clamp_min(1e-30)).item()
    if found.sums.numel():
        yield "metrics", ((found.sums.double() - exact.sums).abs() / exact.sums.abs().clamp_min(1.0)).max().item()


def differing(one: Pass, other: Pass) -> int:
    """Return 1 where any bit of two passes differs, else 0."""
    return int(not all(torch.equal(a, b) for a, b in zip(one, other, strict=True)))
