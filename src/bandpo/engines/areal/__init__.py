"""AReaL, experimental: any method of single tokens, by replacing the loss function of its actor module.

    from bandpo.engines import areal

    areal.install({"method": "band-kl", "band_delta": 0.05})  # before PPOTrainer(...)

AReaL has no place for another loss: every release but those of `RELEASES` is refused.

- Argument order: logprobs, proximal_logprobs, old_logprobs, advantages, ..., by name; packed (T,) or padded (B, T).
- Old log-probs: proximal_logprobs, which AReaL divides by: recomputed, approximated or the sampler's, as
  `actor.prox_logp_method` says. Methods anchored on the sampler take old_logprobs.
- Normalisation: AReaL's, by the mask's count of the micro-batch, weighted over micro-batches. Its `ppo_actor_loss_fn`
  does everything: rejection sampling, dual clip, statistics. It is handed per-token clip settings or, for a method that
  is no interval, open ones and the advantages under which -A r is that method's loss, see `common.handover`.
"""

from __future__ import annotations

from typing import Any

from bandpo.engines.areal.processes import ENGINES, engine_class, install

__all__ = ["install"]


def __getattr__(name: str) -> Any:
    if name in ENGINES:  # AReaL's workers import their engine from here
        return engine_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
