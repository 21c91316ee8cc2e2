"""miles, a fork of slime: any interval of `bandpo.methods()`, as its custom loss around its own `policy_loss_function`.

    --loss-type custom_loss --custom-loss-function-path bandpo.engines.miles.loss --custom-config-path band.yaml
    --custom-megatron-init-path bandpo.engines.miles.choose

where band.yaml holds `bandpo: {method: band-kl, band_delta: 0.05}`.

- Argument order: args, batch, logits, sum_of_sample_mean, as in slime; from the Megatron backend and the FSDP one.
- Old log-probs: batch["log_probs"], which miles recomputes before the first update, at rollout_temperature. With
  --use-rollout-logprobs they are the sampler's, for ratio and bounds alike.
- Normalisation: miles'. `policy_loss_function` does everything; we hand it tensors for eps_clip and eps_clip_high.
"""

from __future__ import annotations

from bandpo.engines.miles.adapter import loss
from bandpo.engines.miles.adapter import objective_for as choose

__all__ = ["choose", "loss"]
