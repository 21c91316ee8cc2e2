"""tinker: any method that reads log-probs and advantages, as a loss for `forward_backward_custom`.

    loss = bandpo.engines.tinker.band_loss("band-kl", band_delta=0.05)
    future = training_client.forward_backward_custom(data, loss)

- Argument order: data, then the policy's log-probs, one 1-D tensor a datum. "logprobs", "advantages" and "mask" are
  read from `datum.loss_fn_inputs`, where tinker_cookbook puts them; without a mask the tokens with an advantage count.
- Old log-probs: what is in "logprobs". The cookbook's are the sampler's. Ratio and bounds are both computed from them.
- Normalisation: ours, as tinker leaves it to a custom loss: a sum over tokens, like tinker's own losses, or any
  aggregation of `bandpo.aggregate`. It runs on the client, and costs one forward pass more than tinker's own.
"""

from __future__ import annotations

from bandpo.engines.tinker.adapter import band_loss
from bandpo.engines.tinker.cookbook import BandTrainingClient, use_in_cookbook

__all__ = ["BandTrainingClient", "band_loss", "use_in_cookbook"]
