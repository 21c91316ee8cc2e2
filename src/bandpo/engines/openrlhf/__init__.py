"""OpenRLHF, experimental: any method of whole sequences, by replacing its `PolicyLoss` inside its actor processes.

    python -m bandpo.engines.openrlhf '{"method": "band-kl", "band_delta": 0.05}' --actor.model_name_or_path ...

OpenRLHF has no place for another loss, and its loss has changed with most releases: every release but those of
`RELEASES` is refused.

- Argument order: log_probs before old_log_probs, then advantages, action_mask, rollout_log_probs; (B, T), padded.
- Old log-probs: OpenRLHF's actor's, recomputed before the first update. The sampler's are handed over only together
  with OpenRLHF's own correction for them, so methods that divide by them are refused.
- Normalisation: OpenRLHF's `PolicyLoss`, by global counts. It does everything: dual clip, importance correction,
  metrics. It is handed per-token clip settings or, for a method that is no interval, open ones and the advantages under
  which -A r is that method's loss, see `common.handover`.
"""

from __future__ import annotations

from bandpo.engines.openrlhf.adapter import policy_actor, policy_loss

__all__ = ["policy_actor", "policy_loss"]
