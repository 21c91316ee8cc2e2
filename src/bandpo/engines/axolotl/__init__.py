"""Axolotl: GRPO with any method that TRL's `GRPOTrainer` can run, as a plugin.

    plugins:
      - bandpo.engines.axolotl.BandPlugin
    rl: grpo
    bandpo:
      method: band-kl
      band_delta: 0.05

- How the loss gets in: the plugin names its trainer as Axolotl's `trainer_cls`: Axolotl's `AxolotlGRPOTrainer` with the
  mixin of `bandpo.engines.trl`. A class that a plugin hands over itself gets neither the model nor the rewards.
- Old log-probs, masks and normalisation: TRL's, see `bandpo.engines.trl`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandpo.engines.common.lazy import lazy

if TYPE_CHECKING:
    from bandpo.engines.axolotl.adapter import BandArgs, BandPlugin
    from bandpo.engines.axolotl.trainer import BandAxolotlGRPOTrainer
    from bandpo.engines.trl.config import BandGRPOOptions

__all__ = ["BandArgs", "BandAxolotlGRPOTrainer", "BandGRPOOptions", "BandPlugin"]
__getattr__ = lazy(
    __name__,
    adapter=("BandArgs", "BandPlugin"),
    settings=("BandGRPOOptions",),
    trainer=("BandAxolotlGRPOTrainer",),
)
