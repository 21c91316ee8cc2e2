"""OpenRLHF's own `PolicyLoss`, run with the trust region of a method, and the launcher that puts it in place."""

from __future__ import annotations

import argparse
import importlib.metadata
import runpy
import sys
from collections.abc import Mapping
from typing import Any

import torch

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_use_metrics
from bandpo.engines.common.handover import clip_settings
from bandpo.engines.common.json_objects import read_object
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import dual_clip, refuse_clip_range

RELEASES = ("0.11.0", "0.11.1", "0.11.2")


def check_release(version: str | None = None) -> None:
    """Raise RuntimeError unless this release of OpenRLHF, the installed one by default, was tested."""
    version = importlib.metadata.version("openrlhf") if version is None else version
    if version not in RELEASES:
        raise RuntimeError(f"openrlhf {version}: this adapter is written for {', '.join(RELEASES)} and no other")


def policy_loss(stock: type, options: Mapping[str, Any]) -> type:
    """Return OpenRLHF's `PolicyLoss` with the trust region that `options` name: method, band_delta, method_kwargs.

    Raises when an instance is made:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that needs what OpenRLHF does not hand to a loss, or settings of the stock
            loss that contradict it.
    """

    class BandPolicyLoss(stock):
        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            self.objective = ADAPTER.objective_for(options, self)

        def forward(
            self,
            log_probs: torch.Tensor,
            old_log_probs: torch.Tensor,
            advantages: torch.Tensor,
            action_mask: torch.Tensor | None = None,
            **rest: Any,
        ) -> tuple[Any, ...]:
            objective = self.objective
            mask = torch.ones_like(log_probs) if action_mask is None else action_mask
            settings = clip_settings(objective, log_probs, old_log_probs, advantages, mask)
            first_use_metrics("OpenRLHF", objective, log_probs, old_log_probs, mask)
            own = self.clip_eps_low, self.clip_eps_high, self.dual_clip
            self.clip_eps_low, self.clip_eps_high = settings.eps_low, settings.eps_high
            self.dual_clip = dual_clip(objective, "--actor.dual_clip", own[2], " ")
            try:
                outputs = super().forward(log_probs, old_log_probs, settings.advantages, action_mask, **rest)
            finally:
                self.clip_eps_low, self.clip_eps_high, self.dual_clip = own
            if objective.is_interval:
                return outputs
            stopped, count = settings.metrics["clip"]
            return outputs[0], stopped / count.clamp_min(1), *outputs[2:]

    return BandPolicyLoss


def _refuse(objective: Objective, stock: Any) -> None:
    if stock.policy_loss_type != "ppo":
        raise ValueError(f"--actor.policy_loss_type {stock.policy_loss_type}: expected ppo, the method decides")
    refuse_clip_range(objective, {"--actor.eps_clip_low_high, low": (stock.clip_eps_low, 0.2, "eps_low")})
    refuse_clip_range(objective, {"--actor.eps_clip_low_high, high": (stock.clip_eps_high, 0.2, "eps_high")})
    dual_clip(objective, "--actor.dual_clip", stock.dual_clip, " ")


ADAPTER = Adapter("OpenRLHF", hands_over="micro-batches of any size", too_wide=("batch",), refuse=_refuse)


def loss_settings(arguments: list[str]) -> Any:
    """Return what OpenRLHF's flags for its loss say, by the names of `PolicyLoss`; other flags are left alone.

    >>> loss_settings(["--actor.eps_clip_low_high", "0.2", "0.28", "--train.batch_size", "128"]).clip_eps_high
    0.28
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--actor.policy_loss_type", default="ppo")
    parser.add_argument("--actor.eps_clip", type=float, default=0.2)
    parser.add_argument("--actor.eps_clip_low_high", type=float, nargs=2)
    parser.add_argument("--actor.dual_clip", type=float)
    flags = vars(parser.parse_known_args(arguments)[0])
    low, high = flags["actor.eps_clip_low_high"] or [flags["actor.eps_clip"]] * 2
    return argparse.Namespace(
        policy_loss_type=flags["actor.policy_loss_type"],
        clip_eps_low=low,
        clip_eps_high=high,
        dual_clip=flags["actor.dual_clip"],
    )


def policy_actor(stock: Any, options: Mapping[str, Any]) -> Any:
    """Return OpenRLHF's Ray actor `PolicyModelActor`, which puts our loss into its process before its trainer."""
    import ray  # pyright: ignore[reportMissingImports]

    class BandPolicyModelActor(stock.__ray_metadata__.modified_class):
        def init_model_from_pretrained(self, *args: Any, **kwargs: Any) -> Any:
            from openrlhf.trainer.ray import ppo_actor  # pyright: ignore[reportMissingImports]

            check_release()
            ppo_actor.PolicyLoss = policy_loss(ppo_actor.PolicyLoss, options)
            return super().init_model_from_pretrained(*args, **kwargs)

    return ray.remote(num_gpus=1)(BandPolicyModelActor)


def main() -> None:
    """Run OpenRLHF's `train_ppo_ray`; the first argument is the JSON object with the method, the others are its own."""
    if len(sys.argv) < 2 or not sys.argv[1].startswith("{"):
        sys.exit('usage: python -m bandpo.engines.openrlhf \'{"method": "band-kl"}\' OPTIONS OF train_ppo_ray')
    options = read_object("the first argument", sys.argv[1])
    check_release()
    ADAPTER.objective_for(options, loss_settings(sys.argv[2:]))
    from openrlhf.trainer.ray import ppo_actor  # pyright: ignore[reportMissingImports]

    ppo_actor.PolicyModelActor = policy_actor(ppo_actor.PolicyModelActor, options)
    sys.argv = ["train_ppo_ray", *sys.argv[2:]]
    runpy.run_module("openrlhf.cli.train_ppo_ray", run_name="__main__")
