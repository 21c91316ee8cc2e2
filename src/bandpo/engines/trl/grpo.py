"""Any subclass of TRL's `GRPOTrainer` with any method."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from trl import GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]
from trl.trainer import utils

from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture, TopKCapture
from bandpo.engines.trl.config import BandGRPOOptions
from bandpo.engines.trl.inputs import EntropySwitch, group_rewards, sampler_top_k, top_k_inputs, top_k_of
from bandpo.engines.trl.logits import tapped_logits, unwrapped
from bandpo.engines.trl.mixin import BandMixin
from bandpo.engines.trl.watch import BatchWatch

# The base is there in every class that is made; here it tells the type checker whose methods `super()` has.
Base = GRPOTrainer if TYPE_CHECKING else object


class BandGRPOMixin(BandMixin, Base):
    """What `BandGRPOTrainer` adds to `GRPOTrainer`, for trainers that inherit from TRL's: a base before theirs.

    Its `args` are of a class with `BandGRPOOptions` among its bases.

    >>> class MyTrainer(BandGRPOMixin, GRPOTrainer): ...
    """

    args: Any

    def __init__(self, model, reward_funcs=None, args: Any = None, *others, **named):
        self._choose_method(args, BandGRPOOptions, "BandGRPOConfig")
        self._capture: LossCapture | TopKCapture | None = None
        self._entropy_switch = EntropySwitch() if self._objective.options.get("strategy") == "od" else None
        super().__init__(model, reward_funcs, args, *others, **named)
        self._watch = BatchWatch(args, self._objective, self.accelerator, self.processing_class)
        if not args.method.startswith("band-"):
            self._name, self._paper = GRPOTrainer._name, GRPOTrainer._paper
        if self._needs_logits and (self.is_fsdp_enabled or is_deepspeed_zero3_enabled()):
            raise ValueError(f"method={args.method!r} needs logits: expected no FSDP or ZeRO-3, which split the head")
        self._warn_if_inactive()

    @property
    def _needs_logits(self) -> bool:
        # A TRL without the fused head computes entropies without gradient.
        has_entropy = hasattr(utils, "add_fused_lm_head")
        from_logits = {"logits", "topk_logp"} if has_entropy else {"logits", "topk_logp", "entropy"}
        return bool(self._objective.method.inputs.keys() & from_logits)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        batch = MicroBatch.of(inputs)
        self._check(batch, inputs.get("old_per_token_logps"))
        compute = functools.partial(
            super().compute_loss, model, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )
        self._capture = capture = LossCapture(self._needs_logits)
        try:
            loss, metrics = self._apply(compute, batch, capture)
        finally:
            self._capture = None
        self._decide_entropy(batch, capture)
        first_use = self._watch.seen(batch, capture, self.state.global_step) if self.model.training else {}
        if metrics:
            self._count(metrics | first_use)
        return loss

    def _method_inputs(self, batch: MicroBatch, capture: LossCapture) -> dict[str, Any]:
        names = self._objective.method.inputs
        inputs = super()._method_inputs(batch, capture)
        if "group_rewards" in names:
            inputs["group_rewards"] = batch.inputs["group_rewards"]
        if "topk_logp" in names:
            logits = capture.logits_of(batch)
            if "topk_ids" in batch.inputs:
                ids, logp = batch.inputs["topk_ids"], batch.inputs["topk_logp_rollout"]
            else:
                ids, logp = top_k_of(logits, self.args.band_top_k)
            inputs |= top_k_inputs(logits, ids, logp)
        return inputs

    def _numbers(self) -> dict[str, Any]:
        numbers = super()._numbers()
        if numbers:
            numbers["boost"] = float(self._entropy_switch.state.is_on) if self._entropy_switch is not None else 0.0
        return numbers

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

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        if self._entropy_switch is not None and self.args.should_save:
            self._entropy_switch.save(Path(self._get_output_dir(trial=trial), f"checkpoint-{self.state.global_step}"))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if self._entropy_switch is not None and checkpoint is not None:
            self._entropy_switch.load(checkpoint)
