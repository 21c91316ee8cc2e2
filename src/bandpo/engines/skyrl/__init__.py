"""SkyRL: any method that reads log-probs and advantages, as `trainer.algorithm.policy_loss_type=bandpo`.

    python -m skyrl.train.entrypoints.main_base trainer.override_entrypoint=bandpo.engines.skyrl \\
        trainer.algorithm.bandpo.method=band-kl trainer.algorithm.bandpo.band_delta=0.05 ...

- Argument order: log_probs before old_log_probs, then advantages, config, loss_mask, rollout_logprobs; (B, T), padded.
- Old log-probs: SkyRL's own, recomputed before the first update on a batch. anchor="rollout" takes rollout_logprobs.
  The fully asynchronous trainer keeps no old policy, what it passes as old is the current one: anchor there on the
  sampler.
- Normalisation: SkyRL divides the advantages beforehand (`loss_reduction`), the loss is a sum: its own `reduce_loss`,
  after its own off-policy correction. Methods whose loss is not proportional to the advantage are refused therefore.
"""

from __future__ import annotations

from bandpo.engines.skyrl.adapter import check_config, configure, loss, main, register

__all__ = ["check_config", "configure", "loss", "main", "register"]
