"""BandPO: probability-aware trust regions for reinforcement learning of language models.

`band` is the operator, `policy_loss` the objective, `methods()` and `divergences()` list what both know by name.
Using this package imports torch and nothing heavier, and not before the first of its names is used; engines live in
`bandpo.engines`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandpo._api import *  # noqa: F403

__version__ = "0.1.0"

__all__ = [  # noqa: F405
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


def __getattr__(name: str) -> Any:
    """Import every public name when the first is asked for, so that the command line starts without torch."""
    if name in ("core", "kernels"):
        return importlib.import_module(f"bandpo.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'bandpo' has no attribute {name!r}")
    public = importlib.import_module("bandpo._api")
    globals().update({each: getattr(public, each) for each in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
