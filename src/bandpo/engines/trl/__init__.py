"""TRL: `GRPOTrainer`, `AsyncGRPOTrainer` and `SDPOTrainer` with any method of `bandpo.methods()`.

TRL's loss is inherited, not copied. It reads its clip range in one form only, `1 - self.epsilon_low` and
`1 + self.epsilon_high`; while the loss runs, `stand_ins` in these places answer with per-token bounds. Everything
else stays TRL's: normalisation, reference KL, vLLM importance correction, masks, and the `clip_ratio/*` metrics,
which then count by the new bounds.

A method that is not an interval has its loss ℓ applied through the advantages: with the bounds open, TRL's loss is
-advantage · ratio, and the advantage it is handed is -ℓ/ratio, which carries ℓ's gradient. Value and gradient are ℓ's.

Bounds are computed from `old_per_token_logps`, the log-probs TRL recomputes under the policy that generated the
batch, at the sampling temperature and over the full vocabulary (top-p, top-k and min-p are not in them). TRL leaves
them out where the ratio is always 1, see `why_inactive`. A method whose anchor is the rollout policy takes the
sampler's log-probs with vLLM; without, the sampler is the policy itself and the recomputed log-probs are its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandpo.engines.common.lazy import lazy
from bandpo.engines.common.updates import why_inactive

if TYPE_CHECKING:
    from bandpo.engines.trl.adapter import BandGRPOConfig, BandGRPOTrainer
    from bandpo.engines.trl.async_grpo import BandAsyncGRPOConfig, BandAsyncGRPOTrainer
    from bandpo.engines.trl.config import BandGRPOOptions
    from bandpo.engines.trl.grpo import BandGRPOMixin
    from bandpo.engines.trl.sdpo import BandSDPOConfig, BandSDPOTrainer

__all__ = [
    "BandAsyncGRPOConfig",
    "BandAsyncGRPOTrainer",
    "BandGRPOConfig",
    "BandGRPOMixin",
    "BandGRPOOptions",
    "BandGRPOTrainer",
    "BandSDPOConfig",
    "BandSDPOTrainer",
    "why_inactive",
]
__getattr__ = lazy(
    __name__,
    adapter=("BandGRPOConfig", "BandGRPOTrainer"),
    async_grpo=("BandAsyncGRPOConfig", "BandAsyncGRPOTrainer"),
    config=("BandGRPOOptions",),
    grpo=("BandGRPOMixin",),
    sdpo=("BandSDPOConfig", "BandSDPOTrainer"),
)
