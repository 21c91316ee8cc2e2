"""TRL's experimental `SDPOTrainer`, self-distillation beside a policy gradient, whose policy loss is a method's.

Its loss is (1 - distillation_weight) · policy loss + distillation_weight · distillation loss; a method is the first
part. The ratio is divided by the log-probs TRL recomputes under the policy that generated the batch.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import trl

try:
    from trl.experimental.sdpo import SDPOConfig, SDPOTrainer
    from trl.trainer.utils import selective_log_softmax
except ImportError as error:
    raise ImportError(
        f"BandSDPOTrainer needs TRL's SDPOTrainer, as in TRL 1.16: pip install 'bandpo[train]': {error}"
    ) from error

from bandpo.engines.common.adapter import Adapter
from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture
from bandpo.engines.trl.mixin import BandMixin
from bandpo.engines.trl.options import BandOptions, clip_range_of
from bandpo.engines.trl.refusals import refuse_clip_range, refuse_importance_sampling_level, refuse_loss_type

ADAPTER = Adapter(
    "TRL's SDPOTrainer", provided=("logp_rollout", "entropy", "logits", "progress"), clip_range=clip_range_of
)
LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo")


@dataclass
class BandSDPOConfig(BandOptions, SDPOConfig):
    """TRL's `SDPOConfig` and the choice of a method for its policy loss.

    Args:
        method, band_delta, method_kwargs, band_metrics: as in `BandGRPOConfig`.

    Raises:
        TypeError: a hyperparameter the method does not take, or of the wrong type.
        ValueError: a value out of range, an unknown method, options that contradict each other, or TRL's default
            `distillation_weight=1.0`, which leaves no policy loss.

    >>> BandSDPOConfig("out", method="band-kl", distillation_weight=0.5)  # doctest: +SKIP
    """

    ADAPTER: ClassVar[Adapter] = ADAPTER

    def __post_init__(self):
        self.check_method()
        refuse_loss_type(self, LOSS_TYPES)
        refuse_importance_sampling_level(self)
        refuse_clip_range(self)
        self._refuse_without_effect()
        super().__post_init__()

    def _refuse_without_effect(self) -> None:
        """Raise ValueError at settings under which the method, or they themselves, would do nothing."""
        here = f"with method={self.method!r}"
        if self.distillation_weight == 1.0 and self.method != "grpo":
            raise ValueError(f"distillation_weight=1.0 {here} leaves no policy loss to bound: expected below 1")
        if self.beta:
            raise ValueError(f"beta={self.beta!r}: TRL's SDPOTrainer adds no KL to the reference, expected 0.0")
        if self.use_vllm and self.objective().anchor == "rollout":
            raise ValueError(f"use_vllm=True {here}: TRL's SDPOTrainer keeps none of vLLM's log-probs, expected False")


class BandSDPOTrainer(BandMixin, SDPOTrainer):
    """TRL's `SDPOTrainer`, same arguments, with `args` a `BandSDPOConfig`.

    It warns when the settings leave the trust region nothing to do, raises RuntimeError if this TRL did not apply
    the method, and on the first batch ValueError at an old log-prob that is not finite or is positive.

    >>> trainer = BandSDPOTrainer(model, reward, BandSDPOConfig("out", distillation_weight=0.5), data)  # doctest: +SKIP
    """

    args: BandSDPOConfig

    _tag_names = ["trl", "sdpo", "bandpo"]  # noqa: RUF012

    def __init__(self, model, reward_funcs=None, args: BandSDPOConfig | None = None, *others, **named):
        self._choose_method(args, BandSDPOConfig)
        super().__init__(model, reward_funcs, args, *others, **named)
        self._warn_if_inactive()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self._was_applied = self.args.distillation_weight == 1.0
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not self._was_applied:
            raise RuntimeError(f"TRL {trl.__version__} did not apply the loss of method={self.args.method!r}")
        return loss

    def _compute_policy_loss(self, inputs: Any, student_logits: Any) -> Any:
        batch, capture = MicroBatch.of(inputs), LossCapture(True)
        self._check(batch, inputs.get("old_per_token_logps"))
        capture.logits = [student_logits]
        capture.keep((selective_log_softmax(student_logits, inputs["completion_ids"]), None))
        compute = functools.partial(super()._compute_policy_loss, student_logits=student_logits)
        loss, metrics = self._apply(compute, batch, capture)
        self._count_all(metrics, batch, capture)
        self._was_applied = True
        return loss
