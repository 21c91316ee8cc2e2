"""TRL's configuration and the choice of a method: every contradiction is refused before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from trl import GRPOConfig  # pyright: ignore[reportPrivateImportUsage]

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.findings import FindingWarning
from bandpo.engines.trl.options import BandOptions, clip_range_of
from bandpo.engines.trl.refusals import notices, refuse_for_method, refuse_options

# What the trainer computes, or TRL has, besides old log-probs.
PROVIDED = ("logp_rollout", "entropy", "logits", "topk_logp", "topk_logp_rollout", "group_rewards", "progress", "boost")

ADAPTER = Adapter("TRL", provided=PROVIDED, clip_range=clip_range_of)


@dataclass
class BandGRPOOptions(BandOptions):
    """What `BandGRPOConfig` adds to a `GRPOConfig`, for configurations that inherit from TRL's: a base before it.

    >>> @dataclass
    ... class MyConfig(BandGRPOOptions, GRPOConfig): ...
    >>> MyConfig("out", use_cpu=True, bf16=False, band_delta=0.03).hyperparameters()["delta"]
    0.03
    """

    ADAPTER: ClassVar[Adapter] = ADAPTER

    band_top_k: int = field(default=20, metadata={"help": "Tokens that dppo-topk-tv and dppo-topk-kl compare."})
    record_every: int = field(
        default=0, metadata={"help": "Write a batch for `bandpo inspect` every so many updates; 0 for none."}
    )
    record_tokens: int = field(default=65536, metadata={"help": "The most tokens in one recorded batch."})

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Raise as `__post_init__` does at options that contradict the method, without choosing a device.

        What depends on the number of processes is looked at only when a configuration is made.

        Args:
            options: values by name; the others have their defaults.

        >>> BandGRPOConfig.check({"epsilon": 0.3})
        Traceback (most recent call last):
        ValueError: epsilon=0.3 has no effect with method='band-kl': ...
        """
        config: Any = object.__new__(cls)
        for option in fields(cls):
            factory = option.default_factory
            setattr(config, option.name, option.default if factory is MISSING else factory())
        vars(config).update(options)
        config.check_method()
        refuse_options(config)

    def __post_init__(self):
        config: Any = self  # a GRPOConfig too
        self.check_method()
        refuse_options(config)
        for finding in notices(config):
            warnings.warn(FindingWarning(finding), stacklevel=3)
        super().__post_init__()  # pyright: ignore[reportAttributeAccessIssue]
        refuse_for_method(config)


@dataclass
class BandGRPOConfig(BandGRPOOptions, GRPOConfig):
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
