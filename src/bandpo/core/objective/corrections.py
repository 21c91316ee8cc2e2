"""What goes around every method: the weight that corrects for the sampler, and the KL to a reference policy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.core.checks import check_number
from bandpo.core.objective.inputs import Batch, filled
from bandpo.core.objective.packed_terms import log_importance_cap
from bandpo.core.objective.reference_kl import check_estimator


def check_reference(logp_ref: Tensor | None, beta: float, kl_estimator: str, kl_cap: float | None) -> None:
    """Raise TypeError or ValueError unless the options of the reference KL make sense together."""
    check_estimator("kl_estimator", kl_estimator)
    if kl_cap is not None:
        check_number("kl_cap", kl_cap, 0.0, math.inf, low_open=True)
        if logp_ref is None:
            raise ValueError(f"kl_cap={kl_cap!r} caps the reference KL: expected logp_ref and beta with it")
    check_number("beta", beta, 0.0, math.inf)
    if (logp_ref is None) != (beta == 0.0):
        raise ValueError(f"beta={beta!r} with logp_ref {'missing' if logp_ref is None else 'given'}: give both or none")


def check_importance(batch: Batch, cap: float | None) -> None:
    """Raise TypeError or ValueError unless the cap is a number above 0, of a weight that corrects the batch's ratio."""
    if cap is None:
        return
    if batch.logp_rollout is None:
        raise ValueError(f"importance_cap={cap!r} needs logp_rollout, the sampler's log-probs")
    if batch.logp_anchor is batch.logp_rollout:
        raise ValueError(
            f"importance_cap={cap!r} with anchor='rollout': the ratio is already new/rollout, correcting it by "
            "old/rollout would count the mismatch twice"
        )
    log_importance_cap(cap)


def importance_weight(batch: Batch, cap: float) -> Tensor:
    """Return min(π_old/π_rollout, cap) of every token: truncated importance sampling, 1 where masked.

    Args:
        batch: what `policy_loss` was given; see `check_importance`.
        cap: largest weight, above 0.
    """
    assert batch.logp_rollout is not None
    old, rollout = filled(batch.logp_old, batch), filled(batch.logp_rollout, batch)
    return torch.exp((old - rollout).clamp_max(log_importance_cap(cap)))
