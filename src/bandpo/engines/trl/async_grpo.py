"""TRL's experimental `AsyncGRPOTrainer` with any method that one completion and its log-probs are enough for.

Its ratio is divided by what the sampler said of its own tokens: every bound is computed from these log-probs,
whatever policy the method's authors divide by.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

try:
    from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer  # pyright: ignore[reportPrivateImportUsage]
except ImportError as error:
    raise ImportError(
        f"BandAsyncGRPOTrainer needs TRL's AsyncGRPOTrainer, as in TRL 1.16: pip install 'bandpo[train]': {error}"
    ) from error

from bandpo.core.objective.inputs import FILL
from bandpo.engines.common.adapter import Adapter
from bandpo.engines.trl.capture import LossCapture
from bandpo.engines.trl.mixin import BandMixin
from bandpo.engines.trl.options import BandOptions, clip_range_of
from bandpo.engines.trl.packed import PackedBatch
from bandpo.engines.trl.refusals import refuse_clip_range

ADAPTER = Adapter(
    "TRL's AsyncGRPOTrainer",
    provided=("logp_rollout", "entropy", "progress"),
    clip_range=clip_range_of,
    only_anchor="rollout",
)


@dataclass
class BandAsyncGRPOConfig(BandOptions, AsyncGRPOConfig):
    """TRL's `AsyncGRPOConfig` and the choice of a method.

    Args:
        method, band_delta, method_kwargs, band_metrics: as in `BandGRPOConfig`.

    Raises:
        TypeError: a hyperparameter the method does not take, or of the wrong type.
        ValueError: a value out of range, an unknown method, one that needs more than TRL hands to this loss, a clip
            range of TRL's beside a method that has bounds of its own, `use_liger_kernel`, which TRL refuses there.

    >>> BandAsyncGRPOConfig("out", method="band-kl", band_delta=0.03)  # doctest: +SKIP
    """

    ADAPTER: ClassVar[Adapter] = ADAPTER

    def __post_init__(self):
        self.check_method()
        refuse_clip_range(self)
        if self.use_liger_kernel:
            raise ValueError("use_liger_kernel=True: TRL's AsyncGRPOTrainer does not take it, expected False")
        super().__post_init__()


class BandAsyncGRPOTrainer(BandMixin, AsyncGRPOTrainer):
    """TRL's `AsyncGRPOTrainer`, same arguments, with `args` a `BandAsyncGRPOConfig`.

    It raises RuntimeError if this TRL did not apply the method, and on the first batch ValueError at a log-prob of the
    sampler's that is not finite or is positive.

    >>> trainer = BandAsyncGRPOTrainer("model", reward, BandAsyncGRPOConfig("out"), data)  # doctest: +SKIP
    """

    args: BandAsyncGRPOConfig
    OLD_LOGPS = "old_log_probs"

    _tag_names = ["trl", "async-grpo", "bandpo"]  # noqa: RUF012

    def __init__(self, model, reward_funcs=None, args: BandAsyncGRPOConfig | None = None, *others, **named):
        self._choose_method(args, BandAsyncGRPOConfig)
        super().__init__(model, reward_funcs, args, *others, **named)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        batch, capture = PackedBatch.of(inputs), LossCapture(False)
        self._check(batch, batch.old)

        def watched(*arguments: Any, **options: Any) -> Any:
            """Run the model, and keep what it says of the trained tokens."""
            outputs = model(*arguments, **options)
            at = inputs["token_index"][batch.selected]
            log_probs, entropy = (getattr(outputs, name).flatten()[at] for name in ("log_probs", "entropy"))
            capture.keep((batch.as_rows(log_probs, FILL), batch.as_rows(entropy, 0.0)))
            return outputs

        compute_loss: Any = super().compute_loss
        compute = functools.partial(
            compute_loss, watched, return_outputs=return_outputs, num_items_in_batch=num_items_in_batch
        )
        loss, metrics = self._apply(compute, batch, capture)
        self._count_all(metrics, batch, capture)
        return loss
