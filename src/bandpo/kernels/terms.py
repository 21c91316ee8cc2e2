"""What goes around a method inside a Triton kernel: `corrections` and `reference_kl` again, for one block of tokens."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from bandpo.core.objective import packed_terms
from bandpo.core.tokens import MAX_LOG_RATIO
from bandpo.kernels.special import expm1_and_phi, least, most, phi

K1, K2 = tl.constexpr(packed_terms.K1), tl.constexpr(packed_terms.K2)
GUARD, INFINITY = tl.constexpr(MAX_LOG_RATIO), tl.constexpr(math.inf)


@triton.jit
def importance_weight(old, rollout, terms):
    """Mirror `corrections.importance_weight`."""
    return tl.exp(least(old - rollout, terms.log_importance_cap))


@triton.jit
def rollout_kl(old, rollout):
    """Mirror the k3 estimate of KL(sampler || old policy)."""
    return phi(least(old - rollout, GUARD))


@triton.jit
def reference_kl(logp, reference, terms, ESTIMATOR: tl.constexpr):
    """Mirror `reference_kl.reference_kl`: the estimate, and its slope in logp."""
    d = reference - logp
    if ESTIMATOR == K1:
        estimate, slope = -d, tl.zeros_like(d) + 1.0
    elif ESTIMATOR == K2:
        estimate, slope = d * d / 2.0, -d
    else:
        rise, estimate = expm1_and_phi(least(d, GUARD))  # pyright: ignore[reportGeneralTypeIssues]
        slope = tl.where(d < GUARD, -rise, 0.0)
    is_free = (tl.abs(estimate) < terms.kl_cap) | (terms.kl_cap == INFINITY)
    return least(most(estimate, -terms.kl_cap), terms.kl_cap), tl.where(is_free, slope, 0.0)
