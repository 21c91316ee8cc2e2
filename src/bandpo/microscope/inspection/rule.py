"""The method that a batch was trained with, or that is asked for, and what it did to every token of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.loss import policy_loss
from bandpo.core.regions.two_sides import Band
from bandpo.core.tokens import hold
from bandpo.microscope.batch import TokenBatch

DEFAULT = "band-kl"


@dataclass(frozen=True)
class Rule:
    """A method with its hyperparameters, and whose log-probs its ratio is divided by.

    >>> str(rule("band-kl", {"delta": 0.03}))
    'band-kl:delta=0.03'
    """

    method: Method
    options: Mapping[str, Any] = field(default_factory=dict)
    anchor: str = "old"

    def __str__(self) -> str:
        changed = {name: value for name, value in self.options.items() if value != self.method.hyperparameters[name]}
        return ":".join([self.method.name, *(f"{name}={value!r}" for name, value in changed.items())])

    @property
    def is_interval(self) -> bool:
        """Tell whether the method bounds the ratio of single tokens."""
        return isinstance(self.method, IntervalMethod)

    @property
    def needs_bounds(self) -> bool:
        """Tell whether to decide by bounds; where those are searched for, g_f(p, r) > δ decides without them."""
        if not isinstance(self.method, IntervalMethod) or self.method.inputs:
            return True
        region = self.method.region(**self.options)
        return not isinstance(region, Band) or region.divergence is None or region.divergence.direct_upper is not None


def rule(name: str, options: Mapping[str, Any] | None = None, anchor: str | None = None) -> Rule:
    """Return a method by name, with all of its hyperparameters.

    Raises:
        ValueError, TypeError: an unknown method, hyperparameters that it does not take.
    """
    method = get_method(name)
    resolved = method.resolve(dict(options or {}))
    method.validate(resolved)
    return Rule(method, resolved, anchor or method.anchor)


def rule_of(batch: TokenBatch) -> Rule | None:
    """Return the method that a batch says it was trained with, None where it says none that is known here."""
    settings = batch.settings
    try:
        return rule(str(settings["method"]), settings.get("options"), settings.get("anchor"))
    except (KeyError, ValueError, TypeError):
        return None


class Acted(NamedTuple):
    """The N tokens of a batch that count, and what a method did to each.

    Attributes:
        logp_anchor: log-prob under the policy that the ratio is divided by.
        log_ratio: log of new over old, within ±20.
        advantages: A.
        plain: |A| r, the size of the plain policy gradient.
        gradient: ∂ℓ/∂logp under the method; -A r where it lets a token learn as it is.
        row, position: which sequence, and which of its tokens that count.
        entropy: of the policy, None where the batch has none.
    """

    logp_anchor: Tensor
    log_ratio: Tensor
    advantages: Tensor
    plain: Tensor
    gradient: Tensor
    row: Tensor
    position: Tensor
    entropy: Tensor | None

    @property
    def kept(self) -> Tensor:
        """Return the size of the gradient under the method."""
        return self.gradient.abs()

    @property
    def p(self) -> Tensor:
        """Return the probability under the policy that the ratio is divided by."""
        return self.logp_anchor.exp()

    @property
    def is_stopped(self) -> Tensor:
        """Tell which tokens had a gradient and lost all of it."""
        return (self.gradient == 0) & (self.plain > 0)


def missing(batch: TokenBatch, needed: Rule) -> str:
    """Return what a batch lacks to say what a method did, "" for nothing."""
    anchor = "logp_rollout" if needed.anchor == "rollout" else "logp_old"
    lacking = [name for name in ("logp", anchor, "advantages") if getattr(batch, name) is None]
    inputs = [n for n, i in needed.method.inputs.items() if not i.optional and n not in inputs_of(batch, needed.method)]
    return ", ".join([*lacking, *inputs])


def inputs_of(batch: TokenBatch, method: Method) -> dict[str, Any]:
    """Return what the method needs besides log-probs, as far as the batch has it."""
    known: dict[str, Any] = {
        "entropy": batch.entropy,
        "logp_rollout": batch.logp_rollout,
        "progress": 0.0,
        "boost": 0.0,
    }
    if "group_rewards" in method.inputs and batch.groups is not None and batch.rewards is not None:
        known["group_rewards"] = _group_rewards(batch.groups, batch.rewards)
    return {name: known[name] for name in method.inputs if known.get(name) is not None}


def acted(batch: TokenBatch, what: Rule) -> Acted:
    """Return what a method did to the tokens of a batch, as `policy_loss` does it; see `missing` first."""
    anchor = batch.logp_rollout if what.anchor == "rollout" else batch.logp_old
    assert batch.logp is not None and anchor is not None and batch.advantages is not None
    mask = batch.mask
    old = anchor if batch.logp_old is None else batch.logp_old
    logp = torch.where(mask, batch.logp, -1.0).float().detach().requires_grad_()
    options = {**what.options, **inputs_of(batch, what.method)}
    rollout = batch.logp_rollout
    with torch.enable_grad():
        per_token = policy_loss(
            logp, old, batch.advantages, mask, method=what.method, anchor=what.anchor, logp_rollout=rollout,
            metrics=False, bounds=what.needs_bounds, check=False, kernel="torch", **options,
        ).per_token  # fmt: skip
        (gradient,) = torch.autograd.grad(per_token.sum(), logp)
    logp_anchor = anchor[mask].float()
    log_ratio = hold(logp.detach()[mask] - logp_anchor)
    advantages = batch.advantages[mask].float()
    position = (mask.cumsum(1) - 1)[mask]
    row = torch.arange(len(mask)).unsqueeze(1).expand_as(mask)[mask]
    plain = advantages.abs() * log_ratio.exp()
    entropy = None if batch.entropy is None else batch.entropy[mask].float()
    return Acted(logp_anchor, log_ratio, advantages, plain, gradient[mask], row, position, entropy)


def _group_rewards(groups: Tensor, rewards: Tensor) -> Tensor | None:
    """Return (B, G) mean-centred rewards of every row's group, None where groups differ in size."""
    unique, number, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) == 0 or sizes.min() != sizes.max():
        return None
    order = number.argsort(stable=True)
    table = rewards[order].reshape(len(unique), -1)
    return (table - table.mean(1, keepdim=True))[number]
