"""Axolotl's plugin: it refuses what contradicts the method, and names the trainer and what its arguments hold."""

from __future__ import annotations

from typing import Any

from axolotl.integrations.base import BasePlugin  # pyright: ignore[reportMissingImports]
from pydantic import BaseModel

from bandpo.engines.axolotl.settings import TRAINER, check_config


class BandArgs(BaseModel):
    """The block `bandpo:` of Axolotl's YAML, whose names the plugin has looked at."""

    bandpo: dict[str, Any] | None = None


class BandPlugin(BasePlugin):
    """`plugins: [bandpo.engines.axolotl.BandPlugin]`."""

    def register(self, cfg: Any) -> None:
        """Refuse what contradicts the method, before Axolotl loads anything, and name the trainer.

        Raises:
            TypeError, ValueError: see `check_config`.
        """
        check_config(cfg)
        cfg["trainer_cls"] = TRAINER

    def get_input_args(self) -> str:
        """Return what Axolotl's YAML may hold besides its own."""
        return "bandpo.engines.axolotl.BandArgs"

    def get_training_args_mixin(self) -> str:
        """Return what the trainer's arguments hold besides TRL's and Axolotl's."""
        return "bandpo.engines.axolotl.BandGRPOOptions"

    def get_training_args(self, cfg: Any) -> dict[str, Any]:
        """Return the values of these arguments."""
        return dict(cfg.get("bandpo") or {})
