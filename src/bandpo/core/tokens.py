"""What a method sees of a batch, and what it answers: the contract between `policy_loss` and every trust region.

Each method is a function (Tokens, **inputs, **hyperparameters) -> Surrogate, elementwise unless its formula says
otherwise. `policy_loss` prepares the tokens once, so no method has to think of masks, dtypes or anchors.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tokens(NamedTuple):
    """A batch of sampled tokens, all (B, T), fp32 or fp64, finite everywhere; advantages are 0 where masked.

    Attributes:
        log_ratio: d = logp - logp_anchor, within ±20; carries the gradient.
        logp: log-probs under the policy being trained; carries the gradient.
        logp_anchor: log-probs under the policy the ratio is divided by; detached.
        advantages: A, detached.
        mask: bool, True for the tokens that count.
    """

    log_ratio: Tensor
    logp: Tensor
    logp_anchor: Tensor
    advantages: Tensor
    mask: Tensor


class Surrogate(NamedTuple):
    """A method's answer, both (B, T).

    Attributes:
        loss: ℓ per token, to be minimised; its gradient with respect to logp comes from autograd.
        gradient: the same ∂ℓ/∂logp in closed form, detached. Where it is 0 the method has stopped the token.
    """

    loss: Tensor
    gradient: Tensor
