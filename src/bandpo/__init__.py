"""BandPO: probability-aware trust regions for reinforcement learning of language models.

`band` is the operator, `policy_loss` the objective, `methods()` and `divergences()` list what both know by name.
Importing this package imports torch and nothing heavier; engines live in `bandpo.engines`.
"""

from bandpo import testing
from bandpo.core.advantages import group_advantages
from bandpo.core.aggregation import AGGREGATIONS, aggregate
from bandpo.core.band import Interval, band, fixed_interval
from bandpo.core.divergences import (
    Divergence,
    alpha_divergence,
    divergences,
    get_divergence,
    register_divergence,
)
from bandpo.core.loss import PolicyLoss, clipped_surrogate, policy_loss
from bandpo.core.methods import Method, get_method, methods
from bandpo.core.metrics import merge_metrics, metric_means, trust_region_metrics
from bandpo.core.reference_kl import reference_kl

__version__ = "0.1.0"

__all__ = [
    "AGGREGATIONS",
    "Divergence",
    "Interval",
    "Method",
    "PolicyLoss",
    "aggregate",
    "alpha_divergence",
    "band",
    "clipped_surrogate",
    "divergences",
    "fixed_interval",
    "get_divergence",
    "get_method",
    "group_advantages",
    "merge_metrics",
    "methods",
    "metric_means",
    "policy_loss",
    "reference_kl",
    "register_divergence",
    "testing",
    "trust_region_metrics",
]
