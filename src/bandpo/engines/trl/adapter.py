"""`GRPOTrainer` whose loss is bounded, or replaced through its advantages, by a method of `bandpo.methods()`."""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

try:
    import trl
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
    from trl import GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]
    from trl.trainer import utils
except ImportError as error:
    raise ImportError(f"bandpo.engines.trl needs TRL: pip install 'bandpo[train]': {error}") from error

from bandpo.core.checks import check_inside
from bandpo.core.methods.entropy import token_entropy
from bandpo.core.objective.metrics import Metrics
from bandpo.core.regions.interval import Interval
from bandpo.engines.common.findings import FindingWarning
from bandpo.engines.common.stand_ins import LateAdvantages
from bandpo.engines.common.updates import inactivity
from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture, TopKCapture
from bandpo.engines.trl.config import BandGRPOConfig
from bandpo.engines.trl.inputs import EntropySwitch, group_rewards, sampler_top_k, top_k_inputs, top_k_of
from bandpo.engines.trl.logits import tapped_logits, unwrapped
from bandpo.engines.trl.loss import ReplacedAdvantages, bounds, clip_range
from bandpo.engines.trl.metrics import BandMetrics
from bandpo.engines.trl.watch import BatchWatch

__all__ = ["BandGRPOConfig", "BandGRPOTrainer"]


class BandGRPOTrainer(GRPOTrainer):
    """TRL's `GRPOTrainer`, same arguments, with `args` a `BandGRPOConfig`.

    It warns when the settings leave the trust region nothing to do, raises RuntimeError if this TRL did not apply
    the method, and on the first batch ValueError at an old log-prob that is not finite or is positive.

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
        self._objective = args.objective()
        self._is_stock = args.method == "grpo" and not args.method_kwargs
        self._is_checked = False
        self._capture: LossCapture | TopKCapture | None = None
        self._entropy_switch = EntropySwitch() if self._objective.options.get("strategy") == "od" else None
        self._band_metrics = BandMetrics()
        super().__init__(model, reward_funcs, args, *others, **named)
        self._watch = BatchWatch(args, self._objective, self.accelerator, self.processing_class)
        if not args.method.startswith("band-"):
            self._name, self._paper = GRPOTrainer._name, GRPOTrainer._paper
        if self._needs_logits and (self.is_fsdp_enabled or is_deepspeed_zero3_enabled()):
            raise ValueError(f"method={args.method!r} needs logits: expected no FSDP or ZeRO-3, which split the head")
        finding = inactivity(args.num_iterations, args.steps_per_generation or 1, args.gradient_accumulation_steps)
        if finding is not None and self.accelerator.is_main_process:
            warnings.warn(FindingWarning(finding), stacklevel=2)

    @property
    def _needs_logits(self) -> bool:
        # A TRL without the fused head computes entropies without gradient.
        has_entropy = hasattr(utils, "add_fused_lm_head")
        from_logits = {"logits", "topk_logp"} if has_entropy else {"logits", "topk_logp", "entropy"}
        return bool(self._objective.method.inputs.keys() & from_logits)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        batch = self._batch(inputs)
        if batch.old is not None:
            inputs = {**inputs, "old_per_token_logps": batch.old}
        compute = functools.partial(
            super().compute_loss, model, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )
        self._capture = capture = LossCapture(self._needs_logits)
        try:
            apply = self._apply_interval if self._objective.is_interval else self._apply_advantages
            loss, metrics = apply(compute, inputs, batch, capture)
        finally:
            self._capture = None
        self._decide_entropy(batch, capture)
        first_use = self._watch.seen(batch, capture, self.state.global_step) if self.model.training else {}
        if metrics:
            self._band_metrics.add(self._mode, metrics | first_use, self._summed)
        return loss

    def _batch(self, inputs: Mapping[str, Any]) -> MicroBatch:
        batch = MicroBatch.of(inputs)
        if batch.old is not None and not self._is_checked:
            check_inside("old_per_token_logps", inputs["old_per_token_logps"], batch.mask)
            self._is_checked = True
        return batch

    def _apply_interval(
        self, compute: Any, inputs: Mapping[str, Any], batch: MicroBatch, capture: LossCapture
    ) -> tuple[Any, Metrics]:
        """Return TRL's loss with the method's bounds in place of its clip range, and what they did."""
        interval, bounded = None, contextlib.nullcontext()
        if batch.old is not None:
            toward = None if self.args.band_metrics else batch.advantages.expand_as(batch.mask)
            interval = self._objective.interval(batch.old, toward, **self._numbers())
            if not self._is_stock:
                bounded = clip_range(self, *bounds(self._objective, interval, batch.advantages))
        with bounded:
            loss = compute(inputs)
        if capture.logps is None or not self.args.band_metrics:
            return loss, {}
        return loss, self._interval_metrics(batch, capture.logps, interval)

    @torch.no_grad()
    def _interval_metrics(self, batch: MicroBatch, new: torch.Tensor, interval: Interval | None) -> Metrics:
        tokens = batch.tokens(new, self._objective.anchor)
        if interval is None:
            interval = self._objective.interval(tokens.logp_anchor, **self._numbers())
        return self._objective.interval_metrics(tokens, interval)

    def _apply_advantages(
        self, compute: Any, inputs: Mapping[str, Any], batch: MicroBatch, capture: LossCapture
    ) -> tuple[Any, Metrics]:
        """Return TRL's loss with advantages that make it the method's, and what the method did."""
        needed = lambda: self._method_inputs(batch, capture)  # noqa: E731
        replaced = ReplacedAdvantages(self._objective, batch, capture, needed, self.args.band_metrics)
        late = LateAdvantages(inputs, replaced)
        with clip_range(self, -math.inf, math.inf):
            loss = compute(late)
        if not late.uses:
            raise RuntimeError(f"TRL {trl.__version__} did not apply the loss of method={self.args.method!r}")
        return loss, replaced.metrics

    def _method_inputs(self, batch: MicroBatch, capture: LossCapture) -> dict[str, Any]:
        """Return what the method needs besides log-probs, by name."""
        names = self._objective.method.inputs
        inputs = self._numbers()
        if "group_rewards" in names:
            inputs["group_rewards"] = batch.inputs["group_rewards"]
        if "entropy" in names:
            inputs["entropy"] = token_entropy(capture.logits_of(batch)) if capture.logits else capture.entropies
        if "logits" in names:
            inputs["logits"] = capture.logits_of(batch)
        if "topk_logp" in names:
            logits = capture.logits_of(batch)
            if "topk_ids" in batch.inputs:
                ids, logp = batch.inputs["topk_ids"], batch.inputs["topk_logp_rollout"]
            else:
                ids, logp = top_k_of(logits, self.args.band_top_k)
            inputs |= top_k_inputs(logits, ids, logp)
        return inputs

    def _numbers(self) -> dict[str, Any]:
        """Return the inputs that are one number for the whole batch."""
        if "progress" not in self._objective.method.inputs:
            return {}
        boost = float(self._entropy_switch.state.is_on) if self._entropy_switch is not None else 0.0
        return {"progress": self._progress(), "boost": boost}

    def _progress(self) -> float:
        return min(self.state.global_step / max(self.state.max_steps, 1), 1.0)

    def _summed(self, values: torch.Tensor) -> Any:
        """Return the sum over processes."""
        return self.accelerator.reduce(values, reduction="sum")

    def _decide_entropy(self, batch: MicroBatch, capture: LossCapture) -> None:
        """Count the entropies of a micro-batch; at the end of an optimizer step the switch decides."""
        if self._entropy_switch is None or capture.entropies is None or not self.model.training:
            return
        self._entropy_switch.add(capture.entropies, batch.mask)
        if self.accelerator.sync_gradients:
            self._entropy_switch.step(self._summed, self._progress())

    def _calculate_rewards(self, *args, **kwargs):
        rewards = super()._calculate_rewards(*args, **kwargs)
        self._watch.scored(rewards * self.reward_weights.to(rewards.device))
        return rewards

    def _generate_and_score_completions(self, inputs):
        """TRL's own, with what this method needs of the whole generated batch added to it."""
        names = self._objective.method.inputs
        capture = self._capture = TopKCapture(self.args.band_top_k) if "topk_logp" in names else None
        try:
            output = super()._generate_and_score_completions(inputs)
        finally:
            self._capture = None
        group_size = (self.num_generations if self.model.training else self.num_generations_eval) or 1
        self._watch.generated(output, group_size, self.state.global_step)
        if "group_rewards" in names:
            output["group_rewards"] = group_rewards(output["advantages"], group_size)
        if capture is not None and capture.lists:
            mask, old = output["completion_mask"] != 0, output["old_per_token_logps"]
            output |= sampler_top_k(capture.lists, output["completion_ids"], old, mask)
        return output

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, *args, **kwargs):
        """TRL's own; what a capture wants of the pass is kept in it."""
        capture = self._capture
        use = None if capture is None else capture.begin(model is self.model)
        tap = tapped_logits(unwrapped(self.accelerator, model), logits_to_keep, self.temperature, use) if use else None
        with tap or contextlib.nullcontext():
            outputs = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        if capture is not None:
            capture.keep(outputs)
        return outputs

    @property
    def _mode(self) -> str:
        return "train" if self.model.training else "eval"

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        logs.update(self._band_metrics.take(self._mode))
        super().log(logs, start_time)

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        if self._entropy_switch is not None and self.args.should_save:
            self._entropy_switch.save(Path(self._get_output_dir(trial=trial), f"checkpoint-{self.state.global_step}"))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if self._entropy_switch is not None and checkpoint is not None:
            self._entropy_switch.load(checkpoint)
