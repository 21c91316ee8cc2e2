"""Axolotl's GRPO trainer with any method."""

from __future__ import annotations

from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer  # pyright: ignore[reportMissingImports]

from bandpo.engines.trl.grpo import BandGRPOMixin


class BandAxolotlGRPOTrainer(BandGRPOMixin, AxolotlGRPOTrainer):
    """Axolotl's `AxolotlGRPOTrainer`, same arguments, with `args` that `BandPlugin` has added our options to."""

    _tag_names = ["trl", "grpo", "axolotl", "bandpo"]  # noqa: RUF012
