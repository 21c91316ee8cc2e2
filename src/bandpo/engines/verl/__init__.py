"""verl: one registered loss, `bandpo`, with every method of `bandpo.methods()` that verl has the inputs for.

    actor_rollout_ref.actor.policy_loss._target_=bandpo.engines.verl.BandPolicyLossConfig
    actor_rollout_ref.actor.policy_loss.loss_mode=bandpo
    +actor_rollout_ref.actor.policy_loss.method=band-kl
    +actor_rollout_ref.actor.policy_loss.band_delta=0.05

Importing this module registers the loss; hydra does so in every worker, because the first line names it. It also lets
verl's `ActorConfig` refuse settings that contradict the method: verl builds one on the driver, before it starts a
worker, and hands a loss the actor's settings only with the first batch.

The ratio is divided by verl's `old_log_probs`: recomputed by the trainer, or the sampler's own in bypass mode. The loss
is averaged by verl's `agg_loss`; entropy bonus and reference KL are verl's and added by verl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandpo.engines.common.lazy import lazy
from bandpo.engines.verl.plugin import install

if TYPE_CHECKING:
    from bandpo.engines.verl.adapter import BandPolicyLossConfig, bandpo_loss

__all__ = ["BandPolicyLossConfig", "bandpo_loss"]
__getattr__ = lazy(__name__, adapter=("BandPolicyLossConfig", "bandpo_loss"))

install()
