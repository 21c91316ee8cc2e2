"""TRL: `GRPOTrainer` with any trust region of `bandpo.methods()`.

TRL's loss is inherited, not copied. It reads its clip range in one form only, `1 - self.epsilon_low` and
`1 + self.epsilon_high`; while the loss runs, `stand_ins` in these places answer with per-token bounds. Everything
else stays TRL's: normalisation, reference KL, vLLM importance correction, masks, and the `clip_ratio/*` metrics,
which then count by the new bounds.

Bounds are computed from `old_per_token_logps`, the log-probs TRL recomputes under the policy that generated the
batch, at the sampling temperature and over the full vocabulary (top-p, top-k and min-p are not in them); never from
the sampler's own. TRL leaves them out where the ratio is always 1, see `why_inactive`.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bandpo.core.band import Interval
from bandpo.core.checks import check_inside
from bandpo.core.methods import get_method
from bandpo.core.metrics import Metrics, merge_metrics, metric_means, trust_region_metrics
from bandpo.engines.activity import why_inactive
from bandpo.engines.stand_ins import Cap, Epsilon

try:
    import trl
    from packaging.version import Version
    from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]
except ImportError as error:
    raise ImportError("bandpo.engines.trl needs TRL: pip install 'bandpo[train]'") from error

__all__ = ["BandGRPOConfig", "BandGRPOTrainer", "why_inactive"]

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
    band_metrics: bool = field(default=True, metadata={"help": "Log what the trust region did, as `band/*`."})

    def __post_init__(self):
        given = f"method={self.method!r}, band_delta={self.band_delta!r}, method_kwargs={self.method_kwargs!r}"
        try:
            if isinstance(self.method_kwargs, str):
                self.method_kwargs = json.loads(self.method_kwargs)
            if not isinstance(self.method_kwargs, dict | None):
                raise TypeError("expected method_kwargs to be a dict or a JSON object")
            get_method(self.method).interval(torch.tensor([-1.0]), **self.hyperparameters())
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{given}: {error}") from None
        self._refuse()
        super().__post_init__()

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


class BandGRPOTrainer(GRPOTrainer):
    """TRL's `GRPOTrainer`, same arguments, with `args` a `BandGRPOConfig`.

    It warns when the settings leave the trust region nothing to do, raises RuntimeError if this TRL did not apply
    the bounds, and on the first batch ValueError at an old log-prob that is not finite or is positive.

    >>> trainer = BandGRPOTrainer(model, reward, BandGRPOConfig("out", num_iterations=2), data)  # doctest: +SKIP
    """

    args: BandGRPOConfig
    model: Any

    _tag_names = ["trl", "grpo", "bandpo"]  # noqa: RUF012
    _name = "BandPO"
    _paper = {  # noqa: RUF012
        "title": "BandPO: Bridging Trust Regions and Ratio Clipping via Probability-Aware Bounds for LLM "
        "Reinforcement Learning",
        "id": "2603.04918",
        "citation": "@article{li2026bandpo,\n"
        "    title  = {{BandPO: Bridging Trust Regions and Ratio Clipping via Probability-Aware Bounds for LLM "
        "Reinforcement Learning}},\n"
        "    author = {Yuan Li and Bo Wang and Yufei Gao and Yuqian Yao and Xinyuan Wang and Zhangyue Yin and "
        "Xipeng Qiu},\n"
        "    year   = 2026,\n"
        "    eprint = {arXiv:2603.04918},\n"
        "}",
    }

    def __init__(self, model, reward_funcs=None, args: BandGRPOConfig | None = None, *others, **named):
        if not isinstance(args, BandGRPOConfig):
            raise TypeError(f"args is a {type(args).__name__}: expected a BandGRPOConfig, which names the method")
        super().__init__(model, reward_funcs, args, *others, **named)
        if not args.method.startswith("band-"):
            self._name, self._paper = GRPOTrainer._name, GRPOTrainer._paper
        self._method = get_method(args.method)
        self._options = args.hyperparameters()
        self._dual_clip: float | None = self._options.pop("dual_clip", None)
        self._is_stock = args.method == "grpo" and not args.method_kwargs
        self._is_checked = False
        self._new_logps: Tensor | None = None
        self._band_sums: dict[str, Metrics] = {"train": {}, "eval": {}}
        sentence = why_inactive(args.num_iterations, args.steps_per_generation or 1, args.gradient_accumulation_steps)
        if sentence is not None and self.accelerator.is_main_process:
            warnings.warn(sentence, stacklevel=2)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        old, advantages, mask = inputs.get("old_per_token_logps"), inputs["advantages"], inputs["completion_mask"] != 0
        if "tool_mask" in inputs:
            mask = mask & (inputs["tool_mask"] != 0)
        if advantages.dim() == 1:
            advantages = advantages.unsqueeze(1)
        interval, self._new_logps = None, None
        if old is not None:
            if not self._is_checked:
                check_inside("old_per_token_logps", old, mask)
                self._is_checked = True
            old = torch.where(mask, old, -1.0)
            inputs = {**inputs, "old_per_token_logps": old}
            interval = self._method.interval(old, check=False, **self._options)
        with contextlib.nullcontext() if interval is None or self._is_stock else self._bounds(interval, advantages):
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if self.args.band_metrics and self._new_logps is not None:
            new = torch.where(mask, self._new_logps, -1.0)
            if old is None or interval is None:
                old, interval = new, self._method.interval(new, check=False, **self._options)
            self._record(new.float(), old.float(), advantages, mask, interval)
        return loss

    @contextlib.contextmanager
    def _bounds(self, interval: Interval, advantages: Tensor) -> Iterator[None]:
        """While the block runs, TRL's clip range is the interval."""
        saved = self.epsilon_low, self.epsilon_high, self.args.delta
        low, high, cap = *interval.ratio(), None
        if not self._method.per_token:
            low, high = 1 - self._options.get("eps_low", math.inf), 1 + self._options.get("eps_high", math.inf)
        if self._dual_clip is not None:
            # TRL's loss for A < 0 is -A max(min(ratio, delta), clamp(ratio, low, high)): both terms need the cap.
            limit = torch.where(advantages < 0, self._dual_clip, math.inf)
            low, high, cap = low + torch.zeros_like(limit), limit.clamp(max=high), Cap(limit)
        stand_ins = [Epsilon(low, -1), Epsilon(high, +1)]
        try:
            self.epsilon_low, self.epsilon_high = stand_ins
            if cap is not None:
                self.args.delta = cap  # pyright: ignore[reportAttributeAccessIssue]
            yield
        finally:
            self.epsilon_low, self.epsilon_high, self.args.delta = saved
        if not all(stand_in.uses for stand_in in (*stand_ins, cap) if stand_in is not None):
            raise RuntimeError(f"TRL {trl.__version__} did not apply the bounds of method={self.args.method!r}")

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        """TRL's own; remembers the new log-probs, for the metrics alone."""
        outputs = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._new_logps = outputs[0].detach()
        return outputs

    def _record(self, new: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, interval: Interval) -> None:
        """Add this micro-batch of all processes to the sums that `log` turns into means."""
        limit = None if self._dual_clip is None else math.log(self._dual_clip)
        metrics = trust_region_metrics(new - old, old, advantages, mask, interval, log_dual_clip=limit)
        table = self.accelerator.reduce(torch.stack([torch.stack(pair) for pair in metrics.values()]), reduction="sum")
        mode = "train" if self.model.training else "eval"
        self._band_sums[mode] = merge_metrics([self._band_sums[mode], dict(zip(metrics, table, strict=True))])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode, prefix = ("train", "band/") if self.model.training else ("eval", "eval_band/")
        logs.update({prefix + name: mean for name, mean in metric_means(self._band_sums[mode]).items()})
        self._band_sums[mode] = {}
        super().log(logs, start_time)
