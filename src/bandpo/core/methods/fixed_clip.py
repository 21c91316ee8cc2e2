"""Fixed clips: the same interval for every token, as PPO, GRPO and DAPO have it, and none at all."""

from __future__ import annotations

from bandpo.core.methods.registry import register_method as method
from bandpo.core.regions.fixed import fixed_clip
from bandpo.core.regions.region import Region

_CLIP = "1 - eps_low <= r <= 1 + eps_high"
_CAPPED = f"{_CLIP}; for A < 0 also r <= dual_clip"


@method("grpo", family="interval", formula=_CLIP, citation="PPO, arXiv 1707.06347, eq. 7; GRPO, arXiv 2402.03300")
def grpo(*, eps_low: float = 0.2, eps_high: float = 0.2, dual_clip: float | None = None) -> Region:
    """Clip the ratio to 0.8 .. 1.2, PPO's fixed clip."""
    return fixed_clip(eps_low, eps_high, dual_clip=dual_clip)


@method("clip-higher", family="interval", formula=_CLIP, citation="DAPO, arXiv 2503.14476, eq. 8")
def clip_higher(*, eps_low: float = 0.2, eps_high: float = 0.28, dual_clip: float | None = None) -> Region:
    """Clip the ratio to 0.8 .. 1.28, wider above."""
    return fixed_clip(eps_low, eps_high, dual_clip=dual_clip)


@method("dual-clip", family="interval", formula=_CAPPED, citation="Ye et al., arXiv 1912.09729, eq. 4")
def dual_clip(*, eps_low: float = 0.2, eps_high: float = 0.2, dual_clip: float | None = 3.0) -> Region:
    """Clip the ratio to 0.8 .. 1.2, and cap the loss of bad tokens at ratio 3."""
    return fixed_clip(eps_low, eps_high, dual_clip=dual_clip)


@method("two-sided", family="interval", formula=_CAPPED, citation="INTELLECT-2, arXiv 2505.07291")
def two_sided(*, eps_low: float = 0.2, eps_high: float = 0.2, dual_clip: float | None = 4.0) -> Region:
    """Clip the ratio to 0.8 .. 1.2, and bound the ratio of bad tokens by 4."""
    return fixed_clip(eps_low, eps_high, dual_clip=dual_clip)


@method("no-clip", family="interval", formula="any r", citation="the control of every comparison")
def no_clip(*, dual_clip: float | None = None) -> Region:
    """Let every token learn: the importance-weighted policy gradient without a trust region."""
    return fixed_clip(dual_clip=dual_clip)
