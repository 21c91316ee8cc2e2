"""What a method sees of a batch, and what it answers: the contract between `policy_loss` and every trust region.

Each method is a function (Tokens, **inputs, **hyperparameters) -> Surrogate, elementwise unless its formula says
otherwise. `policy_loss` prepares the tokens once, so no method has to think of masks, dtypes or anchors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MAX_LOG_RATIO = 20.0
"""verl's guard: a token's ratio is held at e^±20, so that losses of ordinary size cannot overflow fp32."""


class Tokens(NamedTuple):
    """A batch of sampled tokens, all (B, T), fp32 or fp64, finite everywhere; advantages are 0 where masked.

    Attributes:
        log_ratio: d = logp - logp_anchor, within ±20; carries the gradient.
        logp: log-probs under the policy being trained; carries the gradient.
        logp_anchor: log-probs under the policy the ratio is divided by; detached.
        advantages: A, detached.
        mask: bool, True for the tokens that count.

    >>> x = torch.full((1, 2), -1.0)
    >>> bandpo.Tokens(log_ratio=x * 0, logp=x, logp_anchor=x, advantages=x + 2, mask=x < 0).advantages
    tensor([[1., 1.]])
    """

    log_ratio: Tensor
    logp: Tensor
    logp_anchor: Tensor
    advantages: Tensor
    mask: Tensor


def hold(x: Tensor, limit: float = MAX_LOG_RATIO) -> Tensor:
    """Return x held between -limit and limit, without a gradient from these on.

    At its limits themselves `clamp` has a gradient in some releases of torch, and from 2.15 on has none.

    >>> x = torch.tensor([-30.0, 20.0, 1.0], requires_grad=True)
    >>> hold(x).tolist(), torch.autograd.grad(hold(x).sum(), x)
    ([-20.0, 20.0, 1.0], (tensor([0., 0., 1.]),))
    """
    if not x.requires_grad:
        return x.clamp(-limit, limit)
    return torch.where(x.abs() < limit, x, x.detach().clamp(-limit, limit))


def hold_below(x: Tensor, limit: float) -> Tensor:
    """Return x held below a limit, without a gradient from there on.

    >>> hold_below(torch.tensor([-30.0, 25.0]), 20.0)
    tensor([-30.,  20.])
    """
    return torch.where(x < limit, x, x.detach().clamp_max(limit))


def true_log_ratio(tokens: Tokens) -> Tensor:
    """Return logp - logp_anchor, detached and without the guard."""
    return tokens.logp.detach() - tokens.logp_anchor


def free_log_ratio(tokens: Tokens) -> Tensor:
    """Return the guarded log-ratio with the gradient of the true one, for rules that hold no token.

    >>> logp = torch.tensor([25.0], requires_grad=True)
    >>> d = free_log_ratio(Tokens(logp.clamp(-20, 20), logp, torch.zeros(1), torch.ones(1), torch.ones(1) > 0))
    >>> d.item(), torch.autograd.grad(d.sum(), logp)
    (20.0, (tensor([1.]),))
    """
    return tokens.log_ratio.detach() + (tokens.logp - tokens.logp.detach())


def unless_held(gradient: Tensor, tokens: Tokens) -> Tensor:
    """Return the gradient of a loss in `log_ratio`: none where the guard holds the ratio, and the loss is constant."""
    return torch.where(true_log_ratio(tokens).abs() >= MAX_LOG_RATIO, 0.0, gradient)


class Surrogate(NamedTuple):
    """A method's answer, both (B, T).

    Attributes:
        loss: ℓ per token, to be minimised; its gradient with respect to logp comes from autograd.
        gradient: the same ∂ℓ/∂logp in closed form, detached. Where it is 0 the method has stopped the token.

    >>> bandpo.Surrogate(loss=torch.tensor([[-1.0]]), gradient=torch.tensor([[-1.0]])).gradient
    tensor([[-1.]])
    """

    loss: Tensor
    gradient: Tensor
