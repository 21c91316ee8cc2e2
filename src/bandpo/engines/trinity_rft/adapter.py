"""What Trinity-RFT hands to a policy loss, and the settings of its own that contradict a method."""

from __future__ import annotations

from typing import Any

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.objective import Objective

PATH = "bandpo.engines.trinity_rft.BandPolicyLossFn"


def _refuse(_: Objective, own: Any) -> None:
    # Trinity-RFT overwrites the argument with algorithm.loss_agg_mode, but only where it stands already.
    if own.loss_agg_mode is None:
        raise ValueError(
            "policy_loss_fn_args has no loss_agg_mode: expected one, or algorithm.loss_agg_mode does not reach the loss"
        )


ADAPTER = Adapter(
    "Trinity-RFT",
    provided=("logp_rollout",),
    hands_over="micro-batches of any size",
    too_wide=("batch",),
    refuse=_refuse,
)
