"""Losses whose gradient is known in closed form, and what keeps others from asking it for more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bandpo.core.tokens import Surrogate


class _OnceDifferentiable(torch.autograd.Function):
    """A gradient that is a function of logp, as autograd sees it, but of which that function's slope is not known."""

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, logp: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, None]:
        raise RuntimeError("the gradient of this policy loss is a formula without a slope: it has no second derivative")


def once_differentiable(gradient: Tensor, logp: Tensor) -> Tensor:
    """Return the gradient, in a graph whose second derivative raises RuntimeError instead of lacking a term silently.

    torch's own decorator of that name lets through what `torch.autograd.grad(create_graph=True)` asks of a model's
    parameters, because the gradient it is given needs no gradient itself.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return gradient
    return _OnceDifferentiable.apply(gradient, logp)


class _KnownGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logp: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        return loss.view_as(loss)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], inputs[2])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        logp, gradient = ctx.saved_tensors
        return once_differentiable(grad_outputs[0] * gradient, logp), None, None


def with_known_gradient(logp: Tensor, surrogate: Surrogate) -> Tensor:
    """Return `surrogate.loss` as a function of logp whose gradient is `surrogate.gradient`, all that backward computes.

    Compiled, loss and gradient are one pass; left to autograd, the backward pass would work out the bounds again.

    >>> logp = torch.tensor([[-1.0]], requires_grad=True)
    >>> loss = with_known_gradient(logp, Surrogate(torch.tensor([[2.0]]), torch.tensor([[-3.0]])))
    >>> loss.sum().backward(); loss.item(), logp.grad.item()
    (2.0, -3.0)
    """
    return _KnownGradient.apply(logp, surrogate.loss, surrogate.gradient)
