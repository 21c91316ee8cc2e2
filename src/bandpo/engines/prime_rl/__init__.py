"""prime-rl: any method that reads log-probs and advantages, as a custom loss.

    [trainer.loss]
    type = "custom"
    import_path = "bandpo.engines.prime_rl.loss"

    [trainer.loss.kwargs]
    method = "band-kl"
    band_delta = 0.05

- Argument order: one `LossInputs`, read by name: trainer_logprobs, inference_logprobs, advantages, loss_mask,
  loss_weights; one sequence at a time, (T,).
- Old log-probs: prime-rl keeps none, inference_logprobs are the sampler's. Every ratio is divided by them and every
  bound computed from them, whatever policy the method's authors divide by.
- Normalisation: the loss is a sum over loss_mask, prime-rl divides by the token count of the whole batch. Its own
  kl_tau and adv_tau belong to its own losses and do not act.
"""

from __future__ import annotations

from bandpo.engines.prime_rl.adapter import loss

__all__ = ["loss"]
