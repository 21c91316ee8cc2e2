"""NeMo-RL's own `ClippedPGLossFn`, run with the trust region of a method."""

from __future__ import annotations

import copy
import functools
import runpy
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_use_metrics, sampled_tokens
from bandpo.engines.common.handover import clip_settings
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.own_settings import dual_clip, refuse_clip_range, refuse_correction

# Settings under which NeMo-RL's loss has no ratio of single tokens, or another loss of its own.
OTHER_LOSSES = ("disable_ppo_ratio", "sequence_level_importance_ratios", "use_cispo", "force_on_policy_ratio")
REPORTED = ("clip", "clip_high", "clip_low", "approx_kl")
# Beside them at a first use: what is a mean over all tokens.
FIRST_USE = ("first_ratio_error", "first_ratio_impossible")


class BandLoss:
    """A `ClippedPGLossFn` with a method's trust region; everything else about it is the stock loss's.

    Args:
        stock: NeMo-RL's loss.
        options: method, band_delta, method_kwargs and anchor.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that needs more than a sequence and its log-probs, or settings of the stock
            loss that contradict it.
    """

    def __init__(self, stock: Any, options: Mapping[str, Any]):
        self.stock, self.options = stock, dict(options)
        self.objective = ADAPTER.objective_for(self.options, stock)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stock, self.options)

    def __getattr__(self, name: str) -> Any:
        if "stock" not in self.__dict__:  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.stock, name)

    @property
    def metric_normalizations(self) -> dict[str, Any]:
        """Return the stock loss's, and ours, which are shares of all tokens."""
        stock = dict(getattr(self.stock, "metric_normalizations", {}))
        per_token = stock.get("probs_ratio")
        return (
            stock if per_token is None else {**stock, **{f"band/{name}": per_token for name in (*REPORTED, *FIRST_USE)}}
        )

    def __call__(
        self, next_token_logprobs: Tensor, data: Mapping[str, Any], global_valid_seqs: Tensor, global_valid_toks: Tensor
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return NeMo-RL's loss and metrics, with `band/*`: sums over this micro-batch, over the global tokens."""
        objective = self.objective
        mask = data["token_mask"][:, 1:] * data["sample_mask"].unsqueeze(-1)
        rollout = data["generation_logprobs"][:, 1:] if objective.anchor == "rollout" else None
        old, advantages = data["prev_logprobs"][:, 1:], data["advantages"]
        settings = clip_settings(objective, next_token_logprobs, old, advantages[:, 1:], mask, logp_rollout=rollout)
        stock = copy.copy(self.stock)
        stock.ratio_clip_min, stock.ratio_clip_max = settings.eps_low, settings.eps_high
        stock.ratio_clip_c = dual_clip(objective, "loss_fn.ratio_clip_c", stock.ratio_clip_c)
        handed = {**data, "advantages": torch.cat([advantages[:, :1], settings.advantages], 1)}
        loss, metrics = stock(
            next_token_logprobs, data=handed, global_valid_seqs=global_valid_seqs, global_valid_toks=global_valid_toks
        )
        known = lambda: sampled_tokens(data["input_ids"], data["token_mask"]) if "input_ids" in data else {}  # noqa: E731
        first_use = first_use_metrics("NeMo-RL", objective, next_token_logprobs, old, mask, rollout, known)
        ours = {n: settings.metrics[n] for n in REPORTED} | {n: first_use[n] for n in FIRST_USE if first_use}
        sums = torch.stack([total for total, _ in ours.values()]) / (global_valid_toks + 1e-8)
        return loss, metrics | {f"band/{name}": value for name, value in zip(ours, sums.tolist(), strict=True)}


def _refuse(objective: Objective, stock: Any) -> None:
    for name in OTHER_LOSSES:
        if getattr(stock, name, False):
            raise ValueError(
                f"loss_fn.{name}=True is a loss of its own: expected False with method={objective.method.name!r}"
            )
    if stock.use_importance_sampling_correction:
        refuse_correction(objective, "loss_fn.use_importance_sampling_correction=True")
    refuse_clip_range(objective, {"loss_fn.ratio_clip_min": (stock.ratio_clip_min, 0.2, "eps_low")})
    refuse_clip_range(objective, {"loss_fn.ratio_clip_max": (stock.ratio_clip_max, 0.2, "eps_high")})
    dual_clip(objective, "loss_fn.ratio_clip_c", stock.ratio_clip_c)


ADAPTER = Adapter(
    "NeMo-RL", provided=("logp_rollout",), hands_over="single sequences", too_wide=("batch",), refuse=_refuse
)


def with_band(stock: Any) -> Any:
    """Return a factory of losses in place of the class `stock`: `loss_fn.bandpo` of the configuration names the method.

    Raises:
        ValueError: the configuration has no loss_fn.bandpo.
    """

    def build(cfg: Any, *args: Any, **kwargs: Any) -> BandLoss:
        options = cfg.get("bandpo") if isinstance(cfg, Mapping) else getattr(cfg, "bandpo", None)
        if not isinstance(options, Mapping):
            raise ValueError(f"loss_fn.bandpo={options!r}: expected a mapping, such as +loss_fn.bandpo.method=band-kl")
        return BandLoss(stock(cfg, *args, **kwargs), options)

    return build


def checked_setup(setup: Any, build: Any) -> Any:
    """Return NeMo-RL's `setup`, which builds its loss last, with one built first: what contradicts costs no workers.

    Args:
        setup: called with the master configuration first.
        build: from `with_band`.
    """

    @functools.wraps(setup)
    def checked(master_config: Any, *args: Any, **kwargs: Any) -> Any:
        settings = master_config["loss_fn"] if isinstance(master_config, Mapping) else master_config.loss_fn
        build(settings)
        return setup(master_config, *args, **kwargs)

    return checked


def main() -> None:
    """Run NeMo-RL's launch script, sys.argv[1], with its `setup` building our loss."""
    from nemo_rl.algorithms import grpo  # pyright: ignore[reportMissingImports]

    grpo.ClippedPGLossFn = with_band(grpo.ClippedPGLossFn)
    if hasattr(grpo, "setup"):
        grpo.setup = checked_setup(grpo.setup, grpo.ClippedPGLossFn)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
