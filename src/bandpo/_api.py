"""Every public name of the package; `bandpo` itself hands them on when the first of them is asked for."""

from bandpo import testing
from bandpo.core.advantages import group_advantages
from bandpo.core.aggregation import AGGREGATIONS, aggregate
from bandpo.core.band import Interval, band, fixed_interval
from bandpo.core.clipping import clipped_surrogate
from bandpo.core.covariance import token_covariance
from bandpo.core.divergences import (
    Divergence,
    alpha_divergence,
    divergences,
    get_divergence,
    register_divergence,
)
from bandpo.core.dppo import top_k_divergence, with_sampled_token
from bandpo.core.dynamic_clip import dynamic_clip_interval
from bandpo.core.entropy_bonus import adaptive_entropy_coef, token_entropy, trust_region_entropy
from bandpo.core.flexible_entropy import EntropyBoost, entropy_boost, flexible_entropy_interval
from bandpo.core.kl3 import kl3_interval
from bandpo.core.loss import PolicyLoss, policy_loss
from bandpo.core.method import Method
from bandpo.core.methods import get_method, methods
from bandpo.core.metrics import merge_metrics, metric_means, trust_region_metrics
from bandpo.core.projection import projected_divergence
from bandpo.core.quatro import kl_multiplier
from bandpo.core.reference_kl import reference_kl
from bandpo.core.weight import gradient_weight

__all__ = [
    "AGGREGATIONS",
    "Divergence",
    "EntropyBoost",
    "Interval",
    "Method",
    "PolicyLoss",
    "adaptive_entropy_coef",
    "aggregate",
    "alpha_divergence",
    "band",
    "clipped_surrogate",
    "divergences",
    "dynamic_clip_interval",
    "entropy_boost",
    "fixed_interval",
    "flexible_entropy_interval",
    "get_divergence",
    "get_method",
    "gradient_weight",
    "group_advantages",
    "kl3_interval",
    "kl_multiplier",
    "merge_metrics",
    "methods",
    "metric_means",
    "policy_loss",
    "projected_divergence",
    "reference_kl",
    "register_divergence",
    "testing",
    "token_covariance",
    "token_entropy",
    "top_k_divergence",
    "trust_region_entropy",
    "trust_region_metrics",
    "with_sampled_token",
]
