"""TRL's configuration and the choice of a method: every contradiction is refused before anything is trained."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, fields
from typing import Any

from trl import GRPOConfig  # pyright: ignore[reportPrivateImportUsage]

from bandpo.core.methods.registry import get_method
from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.findings import FindingWarning
from bandpo.engines.common.json_objects import read_object
from bandpo.engines.common.objective import Objective
from bandpo.engines.trl.ranges import check_ranges
from bandpo.engines.trl.refusals import notices, refuse_for_method, refuse_options

# What the trainer computes, or TRL has, besides old log-probs.
PROVIDED = ("logp_rollout", "entropy", "logits", "topk_logp", "topk_logp_rollout", "group_rewards", "progress", "boost")


def _clip_range(config: BandGRPOConfig) -> dict[str, Any]:
    """Return what stock TRL clips to."""
    high = config.epsilon if config.epsilon_high is None else config.epsilon_high
    return {"eps_low": config.epsilon, "eps_high": high}


ADAPTER = Adapter("TRL", provided=PROVIDED, clip_range=_clip_range)


@dataclass
class BandGRPOConfig(GRPOConfig):
    """TRL's `GRPOConfig` and the choice of a trust region.

    Args:
        method: a name from `bandpo.methods()`. "grpo" is stock TRL, clipped by TRL's `epsilon` and `epsilon_high`;
            with every other method these two must be left alone. docs/engines/trl.md has every option of TRL's.
        band_delta: radius of the band, in nats for the KL family; the method's own if not given. TRL's `delta` is
            something else, its two-sided clip, a cap above 1 on good tokens' ratios too. It keeps TRL's formula, which
            lets a bad token's ratio reach the upper bound where that is wider; `dual_clip` caps it whatever the bounds.
        method_kwargs: the method's other hyperparameters, a dict or, on the command line, a JSON object.
        band_top_k: how many of the sampler's likeliest tokens dppo-topk-* compare.
        band_metrics: log `band/*`, the metrics of `bandpo.trust_region_metrics`.
        record_every: write what the loss saw to output_dir/batches every so many optimizer steps, for `bandpo inspect`;
            0 for never. Every process writes its part of the batch, a file of its own.
        record_tokens: the most tokens of one such step, over all processes.

    Raises:
        TypeError: a hyperparameter the method does not take, or of the wrong type.
        ValueError: a value out of range, an unknown method, options that contradict each other or would have no
            effect, a loss that does not bound single tokens.

    Warns:
        UserWarning: `delta` bounds good tokens more tightly than the method does; an option of a TRL newer than this
            adapter, whose effect on the loss is not known.

    >>> BandGRPOConfig("out", method="band-kl", band_delta=0.03, method_kwargs={"max_ratio": 10.0})  # doctest: +SKIP
    """

    method: str = field(default="band-kl", metadata={"help": "Trust region, see `bandpo.methods()`."})
    band_delta: float | None = field(default=None, metadata={"help": "Radius of the band, the method's if not given."})
    method_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Other hyperparameters of the method, as a JSON object."}
    )
    band_top_k: int = field(default=20, metadata={"help": "Tokens that dppo-topk-tv and dppo-topk-kl compare."})
    band_metrics: bool = field(default=True, metadata={"help": "Log what the trust region did, as `band/*`."})
    record_every: int = field(
        default=0, metadata={"help": "Write a batch for `bandpo inspect` every so many updates; 0 for none."}
    )
    record_tokens: int = field(default=65536, metadata={"help": "The most tokens in one recorded batch."})

    def __post_init__(self):
        check_ranges(vars(self))
        self._read_mappings()
        get_method(self.method)
        options = f"method={self.method!r}, band_delta={self.band_delta!r}, method_kwargs={self.method_kwargs!r}"
        try:
            self.objective()
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{options}: {error}") from None
        refuse_options(self)
        for finding in notices(self):
            warnings.warn(FindingWarning(finding), stacklevel=3)
        super().__post_init__()
        refuse_for_method(self)

    def _read_mappings(self) -> None:
        """Make every option of names and values a dict, JSON objects too."""
        for name in (option.name for option in fields(self) if option.name.endswith("_kwargs")):
            value = getattr(self, name)
            if isinstance(value, str):
                value = read_object(name, value)
                setattr(self, name, value)
            if not isinstance(value, dict | None):
                raise TypeError(f"{name}={value!r}: expected a dict or a JSON object")

    def objective(self) -> Objective:
        """Return the method with all of its hyperparameters, whichever field they came from.

        Raises:
            TypeError: a hyperparameter the method does not take.
            ValueError: a value out of range, a radius given twice.
        """
        options = {"method": self.method, "band_delta": self.band_delta, "method_kwargs": self.method_kwargs}
        return ADAPTER.objective_for(options, self)

    def hyperparameters(self) -> dict[str, Any]:
        """Return every hyperparameter of the method, whichever field it came from."""
        return dict(self.objective().options)
