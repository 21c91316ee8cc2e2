"""What `policy_loss` is given, checked once and made harmless where masked, for methods, kernels and engines alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import (
    can_inspect,
    check_binary,
    check_finite,
    check_floating,
    check_inside,
    check_numbers,
)
from bandpo.core.methods.method import ANCHORS, Method
from bandpo.core.tokens import Tokens

# What masked positions hold inside: any finite log-prob and any small radius serve, their advantage is 0.
FILL, FILL_RADIUS = -1.0, 1e-4
_FILL_INPUT = {"BTK": -20.0}  # log-probs too: small enough for any number of them to sum to less than 1

# What is said of old log-probs in 16 bits.
ROUNDED = {
    dtype: f"logp_old is {name}: its rounding alone moves the ratio of a token of p = 0.01 by up to {share}, which a "
    "region takes for a move of the policy; keep the old log-probs in float32"
    for dtype, name, share in ((torch.bfloat16, "bfloat16", "1.6 %"), (torch.float16, "float16", "0.2 %"))
}

Check = Callable[[str, Tensor, Tensor], None]


class PrecisionWarning(UserWarning):
    """Old log-probs in 16 bits."""


class Batch(NamedTuple):
    """The tensors of a loss, (B, T), checked; masked positions may still hold anything.

    Attributes:
        logp: log-probs under the policy being trained, with gradient.
        logp_old, logp_rollout, logp_ref: under the old, rollout and reference policy, detached.
        logp_anchor: those of the policy that the ratio is divided by, one of the two before.
        advantages: A, detached.
        mask: bool.
        inputs: what else the method needs, with masked positions made harmless.
    """

    logp: Tensor
    logp_old: Tensor
    logp_rollout: Tensor | None
    logp_ref: Tensor | None
    logp_anchor: Tensor
    advantages: Tensor
    mask: Tensor
    inputs: dict[str, Any]

    def named(self) -> dict[str, Tensor]:
        """Return the tensors by name that an error may quote."""
        tensors = {name: getattr(self, name) for name in ("logp", "logp_old", "advantages", "logp_rollout", "logp_ref")}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def prepare(
    method: Method,
    logp: Tensor,
    logp_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    logp_rollout: Tensor | None = None,
    logp_ref: Tensor | None = None,
    anchor: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    check: bool = True,
) -> Batch:
    """Check what a loss is given, and find the log-probs its ratio is divided by.

    Args:
        method: whose anchor counts if none is given, and which says what shapes its inputs have.
        logp, logp_old, advantages, mask, logp_rollout, logp_ref, anchor: as `policy_loss`.
        inputs: what else the method needs.
        check: look at values too, inside the mask.

    Raises:
        TypeError, ValueError: as `policy_loss`.

    Warns:
        PrecisionWarning: old log-probs in 16 bits.

    >>> logp = torch.tensor([[-1.0, -2.0]])
    >>> prepare(bandpo.get_method("grpo"), logp, logp, torch.ones(1), torch.ones(1, 2)).mask
    tensor([[True, True]])
    """
    mask = _as_mask(mask, logp, check)

    def verified(name: str, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else checked(name, tensor, mask, check).detach()

    logp, old = checked("logp", logp, mask, check), checked("logp_old", logp_old, mask, check).detach()
    if check and old.dtype in ROUNDED and can_inspect(old):
        warnings.warn(PrecisionWarning(ROUNDED[old.dtype]), stacklevel=3)
    rollout = verified("logp_rollout", logp_rollout)
    return Batch(
        logp=logp,
        logp_old=old,
        logp_rollout=rollout,
        logp_ref=verified("logp_ref", logp_ref),
        logp_anchor=_anchor(method, anchor, old, rollout),
        advantages=checked("advantages", _per_token(advantages, logp), mask, check, check_finite).detach(),
        mask=mask,
        inputs={name: _input_inside(method, name, value, mask, check) for name, value in (inputs or {}).items()},
    )


def checked(name: str, tensor: Tensor, mask: Tensor, check: bool, verify: Check = check_inside) -> Tensor:
    """Return a tensor that has the mask's shape and device, and values that `verify` accepts if they are looked at.

    Raises:
        TypeError, ValueError: it has not.
    """
    _check_shape(name, tensor, mask)
    if check and can_inspect(tensor, mask):
        verify(name, tensor, mask)
    return tensor


def filled(tensor: Tensor, batch: Batch, fill: float = FILL) -> Tensor:
    """Return a tensor of the batch in the dtype of its loss, fp64 or fp32, with `fill` where masked."""
    dtype = torch.float64 if batch.logp.dtype == torch.float64 else torch.float32
    return torch.where(batch.mask, tensor, fill).to(dtype)


def as_tokens(batch: Batch) -> Tokens:
    """Return the tokens of a batch as methods see them, but for the guard at ±20."""
    logp, anchor = filled(batch.logp, batch), filled(batch.logp_anchor, batch)
    return Tokens(logp - anchor, logp, anchor, filled(batch.advantages, batch, 0.0), batch.mask)


def radii_inside(options: Mapping[str, Any], mask: Tensor) -> dict[str, Any]:
    """Return hyperparameters in which those given per token are harmless where masked."""
    per_token = {n for n, option in options.items() if isinstance(option, Tensor) and option.shape == mask.shape}
    return {n: torch.where(mask, option, FILL_RADIUS) if n in per_token else option for n, option in options.items()}


def _as_mask(mask: Tensor, logp: Tensor, check: bool) -> Tensor:
    check_floating("logp", logp)
    if not isinstance(mask, Tensor):
        raise TypeError(f"mask: expected a tensor, got {type(mask).__name__}")
    if logp.is_nested:
        raise ValueError("logp is a nested tensor: expected its values(), and segments")
    if logp.dim() != 2:
        packed = "; sequences that are packed end to end need segments" if logp.dim() == 1 else ""
        raise ValueError(f"logp has shape {tuple(logp.shape)}: expected (batch, tokens){packed}")
    if mask.shape != logp.shape:
        raise ValueError(f"mask has shape {tuple(mask.shape)}: expected the shape of logp, {tuple(logp.shape)}")
    _check_device("mask", mask, logp)
    if mask.dtype == torch.bool:
        return mask
    if check and can_inspect(mask):
        check_binary("mask", mask)
    return mask != 0


def _check_device(name: str, tensor: Tensor, logp: Tensor) -> None:
    if tensor.device != logp.device:
        raise ValueError(f"{name} is on {tensor.device}: expected the device of logp, {logp.device}")


def _check_shape(name: str, tensor: Tensor, mask: Tensor) -> None:
    check_floating(name, tensor)
    _check_device(name, tensor, mask)
    if tensor.shape != mask.shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: expected the shape of logp, {tuple(mask.shape)}")


def _per_token(advantages: Tensor, logp: Tensor) -> Tensor:
    check_floating("advantages", advantages)
    if advantages.shape == logp.shape:
        return advantages
    batch, tokens = logp.shape
    if advantages.shape in ((batch,), (batch, 1)):
        return advantages.reshape(-1, 1).expand_as(logp)
    raise ValueError(f"advantages has shape {tuple(advantages.shape)}: expected ({batch},) or ({batch}, {tokens})")


def _input_inside(method: Method, name: str, value: Any, mask: Tensor, check: bool) -> Any:
    """Return one of the method's inputs, checked, with masked positions made harmless; gradients flow through it."""
    shape = method.inputs[name].shape
    if not shape:
        return value
    check_floating(name, value)
    _check_device(name, value, mask)
    known = {"B": mask.shape[0], "T": mask.shape[1]}
    fits = value.dim() == len(shape) and all(
        known.get(axis, n) == n for axis, n in zip(shape, value.shape, strict=True)
    )
    if not fits:
        expected = ", ".join(str(known.get(axis, axis)) for axis in shape)
        raise ValueError(f"{name} has shape {tuple(value.shape)}: expected ({expected})")
    inside = mask if "T" in shape else mask.any(-1)
    inside = inside.reshape(inside.shape + (1,) * (value.dim() - inside.dim()))
    if check and can_inspect(value, mask):
        check_numbers(name, value, inside)
    return torch.where(inside, value, _FILL_INPUT.get(shape, 0.0))


def _anchor(method: Method, anchor: str | None, old: Tensor, rollout: Tensor | None) -> Tensor:
    name = method.anchor if anchor is None else anchor
    if name not in ANCHORS:
        raise ValueError(f"anchor={anchor!r}: expected one of {', '.join(map(repr, ANCHORS))}")
    if name == "old":
        return old
    if rollout is None:
        whose = f"method {method.name!r}" if anchor is None else "anchor='rollout'"
        instead = "; anchor='old' takes logp_old instead" if anchor is None else ""
        raise ValueError(f"{whose} needs logp_rollout, the sampler's log-probs{instead}")
    return rollout
