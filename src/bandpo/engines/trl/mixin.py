"""How any trainer of TRL's that clips token ratios is made to run a method: the part that they share."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import trl

from bandpo.core.checks import check_inside
from bandpo.core.methods.entropy import token_entropy
from bandpo.core.objective.metrics import Metrics
from bandpo.core.regions.interval import Interval
from bandpo.engines.common.findings import FindingWarning
from bandpo.engines.common.first_calls import first_use_metrics
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.updates import inactivity
from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture
from bandpo.engines.trl.loss import ReplacedAdvantages, bounds, clip_range
from bandpo.engines.trl.metrics import BandMetrics
from bandpo.engines.trl.options import BandOptions

if TYPE_CHECKING:
    from transformers import Trainer as Base
else:
    Base = object

Compute = Callable[[Any], Any]


class BandMixin(Base):
    """The mechanism, a base before a trainer's class.

    A trainer's own mixin calls `_choose_method` before TRL's constructor, and at each loss `_apply` with TRL's loss of
    the inputs and a capture that is filled while it runs, then `_count` with the metrics.
    """

    args: Any
    model: Any
    # What the trainer calls the log-probs that divide.
    OLD_LOGPS = "old_per_token_logps"

    def _choose_method(self, args: Any, kind: type[BandOptions], named: str = "") -> None:
        """Take the method of a configuration; TypeError where it is of another class, `named` is what to write."""
        if not isinstance(args, kind):
            expected = named or kind.__name__
            raise TypeError(f"args is a {type(args).__name__}: expected a {expected}, which names the method")
        self._objective: Objective = args.objective()
        self._is_stock = args.method == "grpo" and not args.method_kwargs
        self._is_checked = False
        self._band_metrics = BandMetrics()

    def _check(self, batch: MicroBatch, old: torch.Tensor | None) -> None:
        """Raise ValueError at an old log-prob of the first batch that is not finite or is positive."""
        if old is not None and not self._is_checked:
            check_inside(self.OLD_LOGPS, old, batch.mask)
            self._is_checked = True

    def _apply(self, compute: Compute, batch: MicroBatch, capture: LossCapture) -> tuple[Any, Metrics]:
        """Return TRL's loss made the method's, and what the method did.

        Args:
            compute: TRL's loss of its inputs.
            batch: the micro-batch, its `inputs` those of the loss.
            capture: filled by TRL's pass at the latest when its loss reads the advantages.

        Raises:
            RuntimeError: TRL did not apply the method.
        """
        # A cap on bad tokens' ratios has a place in TRL's loss only where that has its two-sided clip.
        has_place = self._objective.dual_clip is None or hasattr(self.args, "delta")
        apply = self._apply_interval if self._objective.is_interval and has_place else self._apply_advantages
        return apply(compute, batch, capture)

    def _apply_interval(self, compute: Compute, batch: MicroBatch, capture: LossCapture) -> tuple[Any, Metrics]:
        """Return TRL's loss with the method's bounds in place of its clip range, and what they did."""
        interval, bounded = None, contextlib.nullcontext()
        if batch.old is not None:
            toward = None if self.args.band_metrics else batch.advantages.expand_as(batch.mask)
            interval = self._objective.interval(batch.old, toward, **self._numbers())
            if not self._is_stock:
                low, high, cap = bounds(self._objective, interval, batch.advantages)
                low, high = (batch.as_given(x) if isinstance(x, torch.Tensor) else x for x in (low, high))
                bounded = clip_range(self, low, high, cap)
        with bounded:
            loss = compute(batch.loss_inputs())
        if capture.logps is None or not self.args.band_metrics:
            return loss, {}
        return loss, self._interval_metrics(batch, capture.logps, interval)

    @torch.no_grad()
    def _interval_metrics(self, batch: MicroBatch, new: torch.Tensor, interval: Interval | None) -> Metrics:
        anchor = self._objective.anchor
        counted = self._objective.counts_by_kernel(new, batch.anchored(new, anchor), batch.advantages, batch.mask)
        if counted is not None:
            return counted
        tokens = batch.tokens(new, anchor)
        if interval is None:
            interval = self._objective.interval(tokens.logp_anchor, **self._numbers())
        return self._objective.interval_metrics(tokens, interval)

    def _apply_advantages(self, compute: Compute, batch: MicroBatch, capture: LossCapture) -> tuple[Any, Metrics]:
        """Return TRL's loss with advantages that make it the method's, and what the method did."""
        needed = lambda: self._method_inputs(batch, capture)  # noqa: E731
        replaced = ReplacedAdvantages(self._objective, batch, capture, needed, self.args.band_metrics)
        late = batch.with_late_advantages(replaced)
        with clip_range(self, -math.inf, math.inf):
            loss = compute(late)
        if not replaced.uses:
            raise RuntimeError(f"TRL {trl.__version__} did not apply the loss of method={self.args.method!r}")
        return loss, replaced.metrics

    def _method_inputs(self, batch: MicroBatch, capture: LossCapture) -> dict[str, Any]:
        """Return what the method needs besides log-probs, by name."""
        names = self._objective.method.inputs
        inputs = self._numbers()
        if "entropy" in names:
            inputs["entropy"] = token_entropy(capture.logits_of(batch)) if capture.logits else capture.entropies
        if "logits" in names:
            inputs["logits"] = capture.logits_of(batch)
        return inputs

    def _numbers(self) -> dict[str, Any]:
        """Return the inputs that are one number for the whole batch."""
        return {"progress": self._progress()} if "progress" in self._objective.method.inputs else {}

    def _progress(self) -> float:
        return min(self.state.global_step / max(self.state.max_steps, 1), 1.0)

    def _count_all(self, metrics: Metrics, batch: MicroBatch, capture: LossCapture) -> None:
        """Count the metrics of a micro-batch, with those of a first use where it is one."""
        first_use: Metrics = {}
        if batch.old is not None and capture.logps is not None and self.model.training:
            engine = self.args.ADAPTER.engine
            first_use = first_use_metrics(engine, self._objective, capture.logps, batch.old, batch.mask, batch.old)
        if metrics:
            self._count(metrics | first_use)

    def _warn_if_inactive(self) -> None:
        """Warn, in the main process, where a batch is used for one update and no ratio can leave 1."""
        args = self.args
        finding = inactivity(args.num_iterations, args.steps_per_generation or 1, args.gradient_accumulation_steps)
        if finding is not None and self.accelerator.is_main_process:
            warnings.warn(FindingWarning(finding), stacklevel=3)

    def _count(self, metrics: Metrics) -> None:
        if metrics:
            self._band_metrics.add(self._mode, metrics, self._summed)

    def _summed(self, values: torch.Tensor) -> Any:
        """Return the sum over processes."""
        return self.accelerator.reduce(values, reduction="sum")

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        logs.update(self._band_metrics.take(self._mode))
        super().log(logs, start_time)
