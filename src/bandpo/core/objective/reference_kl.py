"""Per-token estimates of KL(policy || reference) from the sampled token alone.

J. Schulman, "Approximating KL divergence", 2020 (joschu.net/blog/kl-approx.html).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.divergences.special import phi
from bandpo.core.tokens import MAX_LOG_RATIO, hold, hold_below

ESTIMATORS = ("k1", "k2", "k3")


def check_estimator(name: str, estimator: object) -> None:
    """Raise ValueError unless it is one of `ESTIMATORS`."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"{name}={estimator!r}: expected one of {', '.join(ESTIMATORS)}")


def reference_kl(logp: Tensor, logp_ref: Tensor, estimator: str = "k3", cap: float | None = None) -> Tensor:
    """Return KL(policy || reference) estimated at each sampled token, with d = logp_ref - logp:

        k1  -d              unbiased, any sign
        k2  d²/2            biased, its gradient unbiased when differentiated as a loss
        k3  e^d - 1 - d     unbiased, never negative, GRPO's choice (arXiv 2402.03300, eq. 4); held at d = 20, where it
                            is 4.9e8, so that it cannot overflow

    verl and NeMo-RL hold the estimate itself at ±10 besides, `cap=10`: their k3 has no gradient from d = 2.61 up and
    d = -11 down. TRL holds nothing.

    Args:
        logp: log-probs under the policy, floating, any shape; gradients flow through it.
        logp_ref: log-probs under the reference policy, same shape.
        estimator: "k1", "k2" or "k3".
        cap: hold the estimate between -cap and cap, where it then has no gradient; None for no cap.

    Returns:
        fp32 (fp64 for fp64 input), shape of logp.

    Raises:
        ValueError: unknown estimator, a cap that is not positive.

    >>> bandpo.reference_kl(torch.tensor([-1.0]), torch.tensor([-1.5]), "k3")
    tensor([0.1065])
    """
    check_estimator("estimator", estimator)
    dtype = torch.float64 if logp.dtype == torch.float64 else torch.float32
    difference = logp_ref.to(dtype) - logp.to(dtype)
    if estimator == "k1":
        estimate = -difference
    else:
        estimate = difference.square() / 2 if estimator == "k2" else phi(hold_below(difference, MAX_LOG_RATIO))
    if cap is None:
        return estimate
    limit = check_number("cap", cap, 0.0, math.inf, low_open=True)
    return hold(estimate, limit)
