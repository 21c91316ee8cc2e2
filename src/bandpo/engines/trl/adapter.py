"""`GRPOTrainer` whose loss is bounded, or replaced through its advantages, by a method of `bandpo.methods()`."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

try:
    import trl
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
    from trl import GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]
    from trl.trainer import utils
except ImportError as error:
    raise ImportError(f"bandpo.engines.trl needs TRL: pip install 'bandpo[train]': {error}") from error

from bandpo.core.checks import check_inside
from bandpo.core.methods.entropy import token_entropy
from bandpo.core.methods.registry import get_method
from bandpo.core.objective.loss import MAX_LOG_RATIO
from bandpo.core.objective.metrics import Metrics, merge_metrics, metric_means, trust_region_metrics
from bandpo.core.regions.band import Interval
from bandpo.core.tokens import Surrogate, Tokens
from bandpo.engines.common.stand_ins import Cap, Epsilon, LateAdvantages
from bandpo.engines.common.updates import why_inactive
from bandpo.engines.trl.config import BandGRPOConfig
from bandpo.engines.trl.inputs import EntropySwitch, group_rewards, sampler_top_k, top_k_inputs, top_k_of
from bandpo.engines.trl.logits import check_logits, tapped_logits, unwrapped

# What masked positions hold: any finite log-prob serves.
_FILL = -1.0


@dataclass
class _Batch:
    """One micro-batch; what stands below `old` is known once TRL has run the policy on it."""

    inputs: Mapping[str, Any]
    advantages: Tensor
    mask: Tensor
    old: Tensor | None
    new: Tensor | None = None
    entropy: Tensor | None = None
    logits: list[Tensor] = field(default_factory=list)
    interval: Interval | None = None
    surrogate: Surrogate | None = None
    replaced: Tensor | None = None

    def logits_checked(self) -> Tensor:
        """(B, T, V), after a look at whether they give the log-probs TRL computed."""
        assert self.new is not None
        logits = torch.cat(self.logits)
        check_logits(logits, self.inputs["completion_ids"], self.new, self.mask)
        return logits

    def anchor(self, whose: str) -> Tensor:
        """Log-probs the ratio is divided by: the sampler's where it is not the policy itself, else the old policy's."""
        assert self.new is not None
        old = self.new.detach() if self.old is None else self.old
        sampler = self.inputs.get("sampling_per_token_logps") if whose == "rollout" else None
        # vLLM gives no number for a token it could not score.
        return old if sampler is None else torch.where(torch.isnan(sampler), old, sampler)


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
        self._method = get_method(args.method)
        self._options = args.hyperparameters()
        self._dual_clip: float | None = self._options.get("dual_clip")
        self._is_stock = args.method == "grpo" and not args.method_kwargs
        self._is_checked = False
        self._current: _Batch | None = None
        self._top_k_lists: list[tuple[Tensor, Tensor]] | None = None
        self._entropy_switch = EntropySwitch() if self._options.get("strategy") == "od" else None
        self._band_sums: dict[str, Metrics] = {"train": {}, "eval": {}}
        super().__init__(model, reward_funcs, args, *others, **named)
        if not args.method.startswith("band-"):
            self._name, self._paper = GRPOTrainer._name, GRPOTrainer._paper
        if self._needs_logits and (self.is_fsdp_enabled or is_deepspeed_zero3_enabled()):
            raise ValueError(f"method={args.method!r} needs logits: expected no FSDP or ZeRO-3, which split the head")
        sentence = why_inactive(args.num_iterations, args.steps_per_generation or 1, args.gradient_accumulation_steps)
        if sentence is not None and self.accelerator.is_main_process:
            warnings.warn(sentence, stacklevel=2)

    @property
    def _needs_logits(self) -> bool:
        # A TRL without the fused head computes entropies without gradient.
        from_logits = (
            {"logits", "topk_logp"} if hasattr(utils, "add_fused_lm_head") else {"logits", "topk_logp", "entropy"}
        )
        return bool(self._method.inputs.keys() & from_logits)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        batch = self._current = self._batch(inputs)
        if batch.old is not None:
            inputs = {**inputs, "old_per_token_logps": batch.old}
        try:
            if self._method.region is None:
                inputs = LateAdvantages(inputs, lambda: self._replaced_advantages(batch))
                with self._clip_range(-math.inf, math.inf):
                    loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
                if not inputs.uses:
                    raise RuntimeError(f"TRL {trl.__version__} did not apply the loss of method={self.args.method!r}")
            else:
                toward = None if self.args.band_metrics else batch.advantages.expand_as(batch.mask)
                batch.interval = None if batch.old is None else self._interval(batch.old, toward)
                with (
                    self._bounds(batch.interval, batch.advantages)
                    if batch.interval is not None and not self._is_stock
                    else contextlib.nullcontext()
                ):
                    loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        finally:
            self._current = None
        self._watch(batch)
        return loss

    def _batch(self, inputs: Mapping[str, Any]) -> _Batch:
        """The loss inputs as a method sees them: one mask, advantages per token, masked old log-probs made harmless."""
        old, advantages, mask = inputs.get("old_per_token_logps"), inputs["advantages"], inputs["completion_mask"] != 0
        if "tool_mask" in inputs:
            mask = mask & (inputs["tool_mask"] != 0)
        if advantages.dim() == 1:
            advantages = advantages.unsqueeze(1)
        if old is not None:
            if not self._is_checked:
                check_inside("old_per_token_logps", old, mask)
                self._is_checked = True
            old = torch.where(mask, old, _FILL)
        return _Batch(inputs, advantages, mask, old)

    def _interval(self, logp_old: Tensor, toward: Tensor | None = None) -> Interval:
        """The bounds of an interval method at this point of training, or those that advantages `toward` can reach."""
        return self._method.interval(logp_old, toward=toward, check=False, **self._numbers(), **self._options)

    def _numbers(self) -> dict[str, float]:
        """The inputs that are one number for the whole batch."""
        if "progress" not in self._method.inputs:
            return {}
        boost = float(self._entropy_switch.state.is_on) if self._entropy_switch is not None else 0.0
        return {"progress": self._progress(), "boost": boost}

    def _progress(self) -> float:
        return min(self.state.global_step / max(self.state.max_steps, 1), 1.0)

    def _replaced_advantages(self, batch: _Batch) -> Tensor:
        """-ℓ/ratio per token, with ℓ's gradient: what TRL multiplies by the ratio is then ℓ."""
        if batch.new is None:
            raise RuntimeError(f"TRL {trl.__version__} reads the advantages before it has the new log-probs")
        if batch.replaced is None:
            tokens = self._tokens(batch, batch.new)
            batch.surrogate, _ = self._method.apply(tokens, **self._method_inputs(batch), **self._options)
            old = batch.new.detach() if batch.old is None else batch.old
            ratio = torch.exp(batch.new - old).float()
            usable = batch.mask & torch.isfinite(ratio) & (ratio > 0)
            replaced = -batch.surrogate.loss / torch.where(usable, ratio, 1.0)
            batch.replaced = torch.where(usable, replaced, 0.0)
        return batch.replaced

    def _tokens(self, batch: _Batch, new: Tensor) -> Tokens:
        new = torch.where(batch.mask, new, _FILL).float()
        anchor = torch.where(batch.mask, batch.anchor(self._method.anchor), _FILL).float()
        log_ratio = (new - anchor).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        advantages = torch.where(batch.mask, batch.advantages, 0.0).float()
        return Tokens(log_ratio, new, anchor, advantages, batch.mask)

    def _method_inputs(self, batch: _Batch) -> dict[str, Any]:
        """What the method needs besides log-probs, by name."""
        inputs: dict[str, Any] = dict(self._numbers())
        if "group_rewards" in self._method.inputs:
            inputs["group_rewards"] = batch.inputs["group_rewards"]
        if "entropy" in self._method.inputs:
            inputs["entropy"] = token_entropy(batch.logits_checked()) if batch.logits else batch.entropy
        if "logits" in self._method.inputs:
            inputs["logits"] = batch.logits_checked()
        if "topk_logp" in self._method.inputs:
            logits = batch.logits_checked()
            if "topk_ids" in batch.inputs:
                ids, logp = batch.inputs["topk_ids"], batch.inputs["topk_logp_rollout"]
            else:
                ids, logp = top_k_of(logits, self.args.band_top_k)
            inputs |= top_k_inputs(logits, ids, logp)
        return inputs

    def _generate_and_score_completions(self, inputs):
        """TRL's own, with what this method needs of the whole generated batch added to it."""
        self._top_k_lists = [] if "topk_logp" in self._method.inputs else None
        output = super()._generate_and_score_completions(inputs)
        if "group_rewards" in self._method.inputs:
            group_size = self.num_generations if self.model.training else self.num_generations_eval
            output["group_rewards"] = group_rewards(output["advantages"], group_size or 1)
        if self._top_k_lists:
            mask = output["completion_mask"] != 0
            old = output["old_per_token_logps"]
            output |= sampler_top_k(self._top_k_lists, output["completion_ids"], old, mask)
        self._top_k_lists = None
        return output

    def _bounds(self, interval: Interval, advantages: Tensor) -> contextlib.AbstractContextManager[None]:
        """While the block runs, TRL's clip range is the interval, with the dual clip on top."""
        low, high = interval.ratio()
        if not self._method.per_token:
            low, high = 1 - self._options.get("eps_low", math.inf), 1 + self._options.get("eps_high", math.inf)
        if self._dual_clip is None:
            return self._clip_range(low, high)
        # TRL's loss for A < 0 is -A max(min(ratio, delta), clamp(ratio, low, high)): both terms need the cap.
        limit = torch.where(advantages < 0, self._dual_clip, math.inf)
        return self._clip_range(low + torch.zeros_like(limit), limit.clamp(max=high), Cap(limit))

    @contextlib.contextmanager
    def _clip_range(self, low: float | Tensor, high: float | Tensor, cap: Cap | None = None) -> Iterator[None]:
        """While the block runs, TRL clips ratios to low .. high, and to `cap` before; it must use what it is given."""
        saved = self.epsilon_low, self.epsilon_high, self.args.delta
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

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, *args, **kwargs):
        """TRL's own; remembers the new log-probs and entropies, and the logits where a method needs them."""
        batch, lists = self._current, self._top_k_lists
        caught: list[Any] = []
        if batch is not None and self._needs_logits:
            use = caught.append
        elif batch is None and lists == [] and model is self.model:
            use = lambda logits: caught.append(top_k_of(logits, self.args.band_top_k))  # noqa: E731
        else:
            use = None
        tap = tapped_logits(unwrapped(self.accelerator, model), logits_to_keep, self.temperature, use) if use else None
        with tap or contextlib.nullcontext():
            outputs = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
        if batch is not None:
            batch.new, batch.entropy, batch.logits = outputs[0], outputs[1], caught
        elif lists is not None and caught:
            lists.extend(caught)
        return outputs

    def _watch(self, batch: _Batch) -> None:
        """After a loss: metrics, and the entropy switch's decision at the end of an optimizer step."""
        if batch.new is None:
            return
        if self._entropy_switch is not None and batch.entropy is not None and self.model.training:
            self._entropy_switch.add(batch.entropy, batch.mask)
            if self.accelerator.sync_gradients:
                self._entropy_switch.step(lambda t: self.accelerator.reduce(t, reduction="sum"), self._progress())
        if not self.args.band_metrics:
            return
        with torch.no_grad():
            tokens = self._tokens(batch, batch.new.detach())
            if self._method.region is not None and batch.interval is None:
                batch.interval = self._interval(tokens.logp_anchor)
            metrics = trust_region_metrics(
                tokens.log_ratio,
                tokens.logp_anchor,
                tokens.advantages,
                tokens.mask,
                batch.interval,
                gradient=None if batch.surrogate is None else batch.surrogate.gradient,
                log_dual_clip=None if self._dual_clip is None else math.log(self._dual_clip),
            )
        table = self.accelerator.reduce(torch.stack([torch.stack(pair) for pair in metrics.values()]), reduction="sum")
        mode = "train" if self.model.training else "eval"
        self._band_sums[mode] = merge_metrics([self._band_sums[mode], dict(zip(metrics, table, strict=True))])

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        mode, prefix = ("train", "band/") if self.model.training else ("eval", "eval_band/")
        logs.update({prefix + name: mean for name, mean in metric_means(self._band_sums[mode]).items()})
        self._band_sums[mode] = {}
        super().log(logs, start_time)

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        if self._entropy_switch is not None and self.args.should_save:
            self._entropy_switch.save(Path(self._get_output_dir(trial=trial), f"checkpoint-{self.state.global_step}"))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if self._entropy_switch is not None and checkpoint is not None:
            self._entropy_switch.load(checkpoint)
