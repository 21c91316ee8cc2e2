"""TRL's configuration and the choice of a method: every contradiction is refused before anything is trained."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import trl
from packaging.version import Version
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.core.method import Method
from bandpo.core.methods import get_method

# The losses that bound single tokens; before 1.10 TRL's luspo counts padding tokens too.
CLIPPED_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo")
if Version(trl.__version__) >= Version("1.10"):
    CLIPPED_LOSSES += ("luspo",)


@dataclass
class BandGRPOConfig(GRPOConfig):
    """TRL's `GRPOConfig` and the choice of a trust region.

    Args:
        method: a name from `bandpo.methods()`. "grpo" is stock TRL, clipped by TRL's `epsilon` and `epsilon_high`;
            with every other method these two must be left alone.
        band_delta: radius of the band, in nats for the KL family; the method's own if not given. TRL's `delta` is
            something else, its two-sided clip, and keeps TRL's formula, which lets a bad token's ratio reach the
            upper bound where that is wider; `dual_clip` caps it whatever the bounds.
        method_kwargs: the method's other hyperparameters, a dict or, on the command line, a JSON object.
        band_top_k: how many of the sampler's likeliest tokens dppo-topk-* compare.
        band_metrics: log `band/*`, the metrics of `bandpo.trust_region_metrics`.

    Raises:
        TypeError: a hyperparameter the method does not take, or of the wrong type.
        ValueError: a value out of range, an unknown method, options that contradict each other or would have no
            effect, a loss that does not bound single tokens.

    >>> BandGRPOConfig("out", method="band-kl", band_delta=0.03, method_kwargs={"max_ratio": 10.0})  # doctest: +SKIP
    """

    method: str = field(default="band-kl", metadata={"help": "Trust region, see `bandpo.methods()`."})
    band_delta: float | None = field(default=None, metadata={"help": "Radius of the band, the method's if not given."})
    method_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Other hyperparameters of the method, as a JSON object."}
    )
    band_top_k: int = field(default=20, metadata={"help": "Tokens that dppo-topk-tv and dppo-topk-kl compare."})
    band_metrics: bool = field(default=True, metadata={"help": "Log what the trust region did, as `band/*`."})

    def __post_init__(self):
        get_method(self.method)
        given = f"method={self.method!r}, band_delta={self.band_delta!r}, method_kwargs={self.method_kwargs!r}"
        try:
            if isinstance(self.method_kwargs, str):
                self.method_kwargs = json.loads(self.method_kwargs)
            if not isinstance(self.method_kwargs, dict | None):
                raise TypeError("expected method_kwargs to be a dict or a JSON object")
            get_method(self.method).validate(self.hyperparameters())
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{given}: {error}") from None
        self._refuse()
        super().__post_init__()
        self._refuse_for_this_method(get_method(self.method))

    def hyperparameters(self) -> dict[str, Any]:
        """Every hyperparameter of the method, whichever field it came from."""
        given: dict[str, Any] = {**self.method_kwargs} if isinstance(self.method_kwargs, dict) else {}
        if self.band_delta is not None:
            if "delta" in given:
                raise ValueError("band_delta and method_kwargs['delta'] are the same radius: give one")
            given["delta"] = self.band_delta
        if self.method == "grpo":
            high = self.epsilon if self.epsilon_high is None else self.epsilon_high
            given = {"eps_low": self.epsilon, "eps_high": high, **given}
        return get_method(self.method).resolve(given)

    def _refuse(self) -> None:
        """Raise ValueError at the first option that would have no effect, or that leaves nothing to bound."""
        if self.loss_type not in CLIPPED_LOSSES:
            expected = ", ".join(CLIPPED_LOSSES)
            raise ValueError(
                f"loss_type={self.loss_type!r} does not bound single tokens in TRL {trl.__version__}: "
                f"expected one of {expected}"
            )
        if self.importance_sampling_level != "token":
            raise ValueError(f"importance_sampling_level={self.importance_sampling_level!r}: expected 'token'")
        if self.use_liger_kernel and hasattr(GRPOTrainer, "compute_liger_loss"):
            raise ValueError("use_liger_kernel=True: this TRL's fused loss takes no per-token bounds, expected False")
        chosen = self.hyperparameters()
        for option, name in (("epsilon", "eps_low"), ("epsilon_high", "eps_high")):
            value = getattr(self, option)
            if value == getattr(GRPOConfig, option):
                continue
            if self.method != "grpo":
                raise ValueError(f"{option}={value!r} has no effect with method={self.method!r}: use method_kwargs")
            if chosen[name] != value:
                raise ValueError(f"{option}={value!r} and method_kwargs[{name!r}]={chosen[name]!r}: give one")
        if self.delta is not None and chosen.get("dual_clip") is not None:
            raise ValueError(f"delta={self.delta!r} and dual_clip={chosen['dual_clip']!r}: give one")

    def _refuse_for_this_method(self, method: Method) -> None:
        """Raise ValueError at the first setting under which this method's loss would be another."""
        here = f"with method={self.method!r}"
        if not self.band_top_k >= 1:
            raise ValueError(f"band_top_k={self.band_top_k!r}: expected at least 1")
        if self.band_top_k != 20 and "topk_logp" not in method.inputs:
            raise ValueError(f"band_top_k={self.band_top_k!r} has no effect {here}")
        if method.family == "bonus" and getattr(self, "entropy_coef", 0.0):
            raise ValueError(f"entropy_coef={self.entropy_coef!r} {here} adds two bonuses: give one")
        if method.region is not None:
            return
        for option in ("delta", "off_policy_mask_threshold"):
            if (value := getattr(self, option)) is not None:
                raise ValueError(f"{option}={value!r} {here}, which clips no ratio of TRL's: expected None")
        if method.anchor == "rollout" and self.use_vllm and self.vllm_importance_sampling_correction:
            raise ValueError(
                f"vllm_importance_sampling_correction=True {here}: its ratio is already new/sampler, the correction "
                "would count the mismatch twice; expected False"
            )
        if "topk_logp" in method.inputs and self.use_vllm:
            raise ValueError(f"use_vllm=True {here}: TRL asks vLLM for the sampled token alone; expected False")
        if "group_rewards" in method.inputs:
            self._refuse_split_groups(here)

    def _refuse_split_groups(self, here: str) -> None:
        """Raise ValueError unless every process has whole groups, with rewards that nothing has rescaled."""
        if self.scale_rewards != "none":
            raise ValueError(f"scale_rewards={self.scale_rewards!r} {here}: expected 'none', rewards as they are")
        answers, group = self.per_device_train_batch_size * (self.steps_per_generation or 1), self.num_generations or 1
        if answers % group:
            raise ValueError(
                f"num_generations={group} {here}: expected a divisor of the {answers} answers a process makes"
            )
