"""Every public name of the package; `bandpo` itself hands them on when the first of them is asked for."""

from bandpo import testing
from bandpo.core.divergences.alpha import alpha_divergence
from bandpo.core.divergences.divergence import Divergence
from bandpo.core.divergences.projection import projected_divergence
from bandpo.core.divergences.registry import divergences, get_divergence, register_divergence
from bandpo.core.methods.covariance import token_covariance
from bandpo.core.methods.entropy import adaptive_entropy_coef, token_entropy, trust_region_entropy
from bandpo.core.methods.gradient_weight import gradient_weight
from bandpo.core.methods.method import Input, Method
from bandpo.core.methods.quatro import kl_multiplier
from bandpo.core.methods.registry import get_method, methods, register_method
from bandpo.core.methods.top_k import top_k_divergence, with_sampled_token
from bandpo.core.objective.advantages import group_advantages
from bandpo.core.objective.aggregation import AGGREGATIONS, aggregate
from bandpo.core.objective.loss import PolicyLoss, policy_loss
from bandpo.core.objective.metrics import merge_metrics, metric_means, trust_region_metrics
from bandpo.core.objective.reference_kl import reference_kl
from bandpo.core.regions.band import band
from bandpo.core.regions.clipping import clipped_surrogate
from bandpo.core.regions.dynamic_clip import dynamic_clip_interval
from bandpo.core.regions.fixed import fixed_clip, fixed_interval
from bandpo.core.regions.flexible_entropy import EntropyBoost, entropy_boost, flexible_entropy_interval
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.kl3 import kl3_interval
from bandpo.core.regions.region import Formula, Region
from bandpo.core.regions.sides import Fixed, Mirrored, Open, Within
from bandpo.core.regions.two_sides import Band, band_region
from bandpo.core.tokens import Surrogate, Tokens
from bandpo.microscope.inspection.inspect import inspect
from bandpo.microscope.recorder import record

__all__ = [
    "AGGREGATIONS",
    "Band",
    "Divergence",
    "EntropyBoost",
    "Fixed",
    "Formula",
    "Input",
    "Interval",
    "Method",
    "Mirrored",
    "Open",
    "PolicyLoss",
    "Region",
    "Surrogate",
    "Tokens",
    "Within",
    "adaptive_entropy_coef",
    "aggregate",
    "alpha_divergence",
    "band",
    "band_region",
    "clipped_surrogate",
    "divergences",
    "dynamic_clip_interval",
    "entropy_boost",
    "fixed_clip",
    "fixed_interval",
    "flexible_entropy_interval",
    "get_divergence",
    "get_method",
    "gradient_weight",
    "group_advantages",
    "inspect",
    "kl3_interval",
    "kl_multiplier",
    "merge_metrics",
    "methods",
    "metric_means",
    "policy_loss",
    "projected_divergence",
    "record",
    "reference_kl",
    "register_divergence",
    "register_method",
    "testing",
    "token_covariance",
    "token_entropy",
    "top_k_divergence",
    "trust_region_entropy",
    "trust_region_metrics",
    "with_sampled_token",
]
