"""ROLL (RLVR pipeline): any method that reads log-probs and advantages, through a worker class of ours.

    actor_train:
      worker_cls: bandpo.engines.roll.BandActorWorker
      system_envs:
        BANDPO: '{"method": "band-kl", "band_delta": 0.05}'

- Argument order: data, output_tensor (the logits); log-probs are (B, T - 1), without the first token.
- Old log-probs: ROLL's, from `get_old_log_probs_with_cache`: recomputed before the first update, or those of the first
  pass over a batch. Methods anchored on the sampler take data.batch["infer_logprobs"].
- Normalisation: ROLL's `agg_loss` by its global counts. Its `ActorWorker.loss_func` does everything: log-probs, sample
  weights, train-infer correction, KL, entropy, metrics. It is handed per-token clip settings or, for a method that is
  no interval, open ones and the advantages under which -A r is that method's loss, see `common.handover`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandpo.engines.common.lazy import lazy

if TYPE_CHECKING:
    from bandpo.engines.roll.adapter import BandActorWorker

__all__ = ["BandActorWorker"]
__getattr__ = lazy(__name__, adapter=("BandActorWorker",))
