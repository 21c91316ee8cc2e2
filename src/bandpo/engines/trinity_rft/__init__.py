"""Trinity-RFT: any method of whole sequences, as `algorithm.policy_loss_fn`.

    algorithm:
      policy_loss_fn: bandpo.engines.trinity_rft.BandPolicyLossFn
      policy_loss_fn_args: {method: band-kl, band_delta: 0.05, loss_agg_mode: token-mean}

- Argument order: logprob before old_logprob, then action_mask and advantages, all by name; (B, T), padded, from the
  verl trainer, (T,) one sample at a time from the tinker trainer.
- Old log-probs: the sampler's, as it generated (`algorithm.bypass_old_logprobs`, true by default); with false the
  trainer's, recomputed before a batch's update. anchor="rollout" takes the sampler's in both.
- Normalisation: Trinity-RFT's `aggregate_loss`, by `algorithm.loss_agg_mode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandpo.engines.common.lazy import lazy

if TYPE_CHECKING:
    from bandpo.engines.trinity_rft.loss import BandPolicyLossFn

__all__ = ["BandPolicyLossFn"]
__getattr__ = lazy(__name__, loss=("BandPolicyLossFn",))
