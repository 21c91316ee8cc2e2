"""slime: any interval of `bandpo.methods()`, through a custom loss that runs slime's own with per-token bounds.

    --loss-type custom_loss --custom-loss-function-path bandpo.engines.slime.loss --custom-config-path band.yaml
    --custom-megatron-init-path bandpo.engines.slime.choose

where band.yaml holds `bandpo: {method: band-kl, band_delta: 0.05}`.

- Argument order: args, batch, logits, sum_of_sample_mean; the batch holds lists of 1-D tensors, one a sample, local to
  the context-parallel rank.
- Old log-probs: batch["log_probs"], which slime recomputes before the first update, at rollout_temperature and over the
  nucleus where rollout_top_p cuts. With --use-rollout-logprobs they are the sampler's, for ratio and bounds alike.
- Normalisation: slime's. `policy_loss_function` does everything: log-probs of sharded logits, importance correction,
  OPSM, entropy, KL, reduction, metrics. It clamps the ratio to 1 - eps_clip .. 1 + eps_clip_high; we hand it tensors.
"""

from __future__ import annotations

from bandpo.engines.slime.adapter import loss
from bandpo.engines.slime.adapter import objective_for as choose

__all__ = ["choose", "loss"]
