"""What must hold of every method: its gradient, its masks, its numbers and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.method import Input, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.loss import PolicyLoss, policy_loss
from bandpo.core.tokens import Tokens, hold

_ROWS, _TOKENS = 4, 6
_SPREADS = (0.1, 0.5, 2.0)

Batch = dict[str, Any]


def check_method(
    method: str | Method, *, options: Mapping[str, Any] | None = None, inputs: Mapping[str, Any] | None = None
) -> None:
    """Check every property BandPO relies on; returns nothing, raises at the first that fails.

    1. The gradient that the rule states is the derivative of its loss, detached, and both have the tokens' shape.
    2. Loss and gradient are finite, also for ratios up to e^±20, and do not depend on what masked positions hold.
    3. Only the tokens of its scope move the loss of a token: the token, its response, or the batch.
    4. A batch without a token, or without an advantage, is fine; fp32 agrees with fp64, bf16 is taken.
    5. The loss scales with the advantage if the method says so.
    6. An unknown option and a missing input are refused.

    Args:
        method: a registered name, or a Method.
        options: hyperparameters to check it under; the method's own if not given.
        inputs: values of its inputs for 4 rows of 6 tokens, where those made up from `Input.example` do not serve.

    Raises:
        AssertionError: a property does not hold; says which.
        TypeError, ValueError: the method's own, for these options and inputs.

    >>> bandpo.testing.check_method("maspo")
    >>> def wrong(tokens, *, factor: float = 2.0):
    ...     "State another gradient than the loss has."
    ...     loss = -factor * tokens.advantages * tokens.log_ratio.exp()
    ...     return bandpo.Surrogate(loss, loss.detach() / factor)
    >>> from bandpo.core.methods.declaration import declared
    >>> bandpo.testing.check_method(declared("wrong", wrong, "gate", formula="-2 A r", citation="nobody"))
    Traceback (most recent call last):
        ...
    AssertionError: method 'wrong': the stated gradient is the derivative of the loss
    """
    subject, settings = get_method(method), dict(options or {})
    batch = _batch()
    logps = batch["logp_rollout" if subject.anchor == "rollout" else "logp_old"], batch["logp"]
    given = {name: needed.made_up(*logps) for name, needed in subject.inputs.items()} | dict(inputs or {})
    for spread in _SPREADS:
        _check_gradient(subject, {**given, **settings}, _batch(spread))
    _check_masked_positions(subject, {**given, **settings})
    _check_scope(subject, {**given, **settings})
    _check_edges(subject, {**given, **settings})
    _check_dtypes(subject, {**given, **settings})
    _check_scale(subject, {**given, **settings})
    _check_refusals(subject, given, settings)


def _batch(spread: float = 0.5) -> Batch:
    """Return the tensors of a loss, fp64; the last row is masked, one advantage is 0."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        return torch.randn(_ROWS, _TOKENS, generator=generator, dtype=torch.float64)

    logp_old = -torch.nn.functional.softplus(2 * draw())
    logp = (logp_old + spread * draw()).clamp_max(-1e-6)
    rollout = (logp_old + 0.05 * draw()).clamp_max(-1e-6)
    advantages, lengths = draw(), torch.tensor([[6], [4], [2], [0]])
    advantages[0, 0] = 0.0
    mask = torch.arange(_TOKENS) < lengths
    return {"logp": logp, "logp_old": logp_old, "advantages": advantages, "mask": mask, "logp_rollout": rollout}


def _loss(method: Method, settings: Mapping[str, Any], batch: Batch) -> tuple[PolicyLoss, Tensor]:
    """Return the loss of a batch and its gradient; randomness of a rule is the same at every call."""
    torch.manual_seed(0)
    logp = batch["logp"].clone().requires_grad_()
    out = policy_loss(**{**batch, "logp": logp}, method=method, **_of_dtype(settings, logp.dtype))
    (gradient,) = torch.autograd.grad(out.loss, logp, allow_unused=True)
    return out, torch.zeros_like(logp) if gradient is None else gradient


def _of_dtype(settings: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    return {name: value.to(dtype) if isinstance(value, Tensor) else value for name, value in settings.items()}


def _require(holds: bool | Tensor, method: Method, claim: str) -> None:
    if not bool(holds):
        raise AssertionError(f"method {method.name!r}: {claim}")


def _check_gradient(method: Method, settings: Mapping[str, Any], batch: Batch) -> None:
    logp = batch["logp"].clone().requires_grad_()
    anchor = batch["logp_rollout" if method.anchor == "rollout" else "logp_old"]
    log_ratio = hold(logp - anchor)
    advantages = torch.where(batch["mask"], batch["advantages"], 0.0)
    inputs, options = method.split(_of_dtype(settings, logp.dtype))
    torch.manual_seed(0)
    surrogate, _ = method.apply(Tokens(log_ratio, logp, anchor, advantages, batch["mask"]), **inputs, **options)
    _require(surrogate.loss.shape == surrogate.gradient.shape == logp.shape, method, "loss and gradient have (B, T)")
    _require(not surrogate.gradient.requires_grad, method, "the stated gradient is detached")
    (derivative,) = torch.autograd.grad(surrogate.loss.sum(), logp)
    close = torch.isclose(surrogate.gradient, derivative, rtol=1e-9, atol=1e-12)
    _require(close[batch["mask"]].all(), method, "the stated gradient is the derivative of the loss")


def _check_masked_positions(method: Method, settings: Mapping[str, Any]) -> None:
    batch = _batch()
    expected, gradient = _loss(method, settings, batch)
    _require(torch.isfinite(expected.loss) & torch.isfinite(gradient).all(), method, "loss and gradient are finite")
    _require((gradient[~batch["mask"]] == 0).all(), method, "masked positions have no gradient")
    for junk in (math.nan, math.inf, -1e30):
        spoilt = {name: x if name == "mask" else torch.where(batch["mask"], x, junk) for name, x in batch.items()}
        out, other = _loss(method, settings, spoilt)
        same = torch.equal(out.loss, expected.loss) and torch.equal(other, gradient)
        _require(same, method, "masked positions may hold anything")


def _check_scope(method: Method, settings: Mapping[str, Any]) -> None:
    """Move one token and see whose loss moves with it."""
    batch = _batch()
    before = _loss(method, settings, batch)[0].per_token
    batch["logp"][0, 1] -= 0.7
    moved = _loss(method, settings, batch)[0].per_token != before
    inside = torch.zeros_like(moved)
    inside[0, 1] = True
    if method.scope != "token":
        inside[0] = True
    _require(not (moved & ~inside).any() or method.scope == "batch", method, f"its scope is the {method.scope}")


def _check_edges(method: Method, settings: Mapping[str, Any]) -> None:
    for batch in _edges():
        out, gradient = _loss(method, settings, batch)
        _require(torch.isfinite(out.loss) & torch.isfinite(gradient).all(), method, "loss and gradient are finite")


def _edges() -> Iterator[Batch]:
    """Yield batches at the ends: no token, no advantage, ratios that the guard holds."""
    empty, idle, far = _batch(), _batch(), _batch()
    empty["mask"] = torch.zeros_like(empty["mask"])
    idle["advantages"] = torch.zeros_like(idle["advantages"])
    far["logp_old"] = far["logp_rollout"] = torch.full_like(far["logp"], -30.0)
    far["logp"] = torch.linspace(-55, -1e-6, _ROWS * _TOKENS, dtype=torch.float64).reshape(_ROWS, _TOKENS)
    yield from (empty, idle, far)


def _check_dtypes(method: Method, settings: Mapping[str, Any]) -> None:
    batch = _batch()
    exact = _loss(method, settings, batch)[0].loss
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, math.inf)):
        cast = {name: x if name == "mask" else x.to(dtype) for name, x in batch.items()}
        loss = _loss(method, settings, cast)[0].loss
        _require(loss.dtype == torch.float32, method, f"the loss of {dtype} is float32")
        _require((loss.double() - exact).abs() <= tolerance * (1 + exact.abs()), method, f"{dtype} agrees with fp64")


def _check_scale(method: Method, settings: Mapping[str, Any]) -> None:
    if not method.scales_with_advantage or method.scope != "token" or method.family == "bonus":
        return
    batch = _batch()
    single = _loss(method, settings, batch)[1]
    double = _loss(method, settings, {**batch, "advantages": 2 * batch["advantages"]})[1]
    _require(torch.allclose(double, 2 * single), method, "its loss scales with the advantage")


def _check_refusals(method: Method, given: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    unknown = {**given, **settings, "no_such_option": 1}
    _require(_refuses(TypeError, method, unknown), method, "unknown options are refused")
    for name, needed in method.inputs.items():
        _require(_accepts_without(method, name, needed, given, settings), method, f"a missing {name} is refused")


def _accepts_without(
    method: Method, name: str, needed: Input, given: Mapping[str, Any], settings: Mapping[str, Any]
) -> bool:
    others = {other: value for other, value in given.items() if other != name}
    return needed.optional or _refuses(ValueError, method, {**others, **settings})


def _refuses(error: type[Exception], method: Method, settings: Mapping[str, Any]) -> bool:
    try:
        _loss(method, settings, _batch())
    except error:
        return True
    return False
