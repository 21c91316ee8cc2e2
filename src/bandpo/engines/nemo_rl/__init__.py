"""NeMo-RL: any method that reads log-probs and advantages, around its own `ClippedPGLossFn`.

    uv run python -m bandpo.engines.nemo_rl examples/run_grpo.py --config ... \\
        +loss_fn.bandpo.method=band-kl +loss_fn.bandpo.band_delta=0.05

- Argument order: next_token_logprobs (B, T - 1), then data by name, (B, T) with its first column cut off, then the
  global counts of sequences and tokens.
- Old log-probs: data["prev_logprobs"], the trainer's before the first update. Methods anchored on the sampler take
  data["generation_logprobs"].
- Normalisation: NeMo-RL's, by the global counts. Its loss does everything: dual clip, importance correction, KL, NLL,
  metrics. It is handed per-token clip settings or, for a method that is no interval, open ones and the advantages under
  which -A r is that method's loss, see `common.handover`.
"""

from __future__ import annotations

from bandpo.engines.nemo_rl.adapter import BandLoss, checked_setup, with_band

__all__ = ["BandLoss", "checked_setup", "with_band"]
