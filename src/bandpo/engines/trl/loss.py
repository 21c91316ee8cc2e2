"""How TRL's own loss is made a method's: its clip range answered by bounds, or its advantages by -ℓ/ratio."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import trl
from torch import Tensor

from bandpo.core.objective.metrics import Metrics
from bandpo.core.regions.interval import Interval
from bandpo.engines.common.handover import as_advantages
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.stand_ins import Cap, Epsilon
from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture


@contextlib.contextmanager
def clip_range(trainer: Any, low: float | Tensor, high: float | Tensor, cap: Cap | None = None) -> Iterator[None]:
    """While the block runs, TRL clips ratios to low .. high, and to `cap` before; it must use what it is given.

    Raises:
        RuntimeError: at the end, where it did not.
    """
    saved = trainer.epsilon_low, trainer.epsilon_high
    saved_cap = trainer.args.delta if cap is not None else None
    stand_ins = [Epsilon(low, -1), Epsilon(high, +1)]
    try:
        trainer.epsilon_low, trainer.epsilon_high = stand_ins
        if cap is not None:
            trainer.args.delta = cap
        yield
    finally:
        trainer.epsilon_low, trainer.epsilon_high = saved
        if cap is not None:
            trainer.args.delta = saved_cap
    if not all(stand_in.uses for stand_in in (*stand_ins, cap) if stand_in is not None):
        raise RuntimeError(f"TRL {trl.__version__} did not apply the bounds of method={trainer.args.method!r}")


def bounds(
    objective: Objective, interval: Interval, advantages: Tensor
) -> tuple[float | Tensor, float | Tensor, Cap | None]:
    """Return the arguments of `clip_range` for the interval, with the dual clip on top."""
    low, high = objective.ratio_bounds(interval)
    if objective.dual_clip is None:
        return low, high, None
    # TRL's loss for A < 0 is -A max(min(ratio, delta), clamp(ratio, low, high)): both terms need the cap.
    limit = torch.where(advantages < 0, objective.dual_clip, math.inf)
    return low + torch.zeros_like(limit), limit.clamp(max=high), Cap(limit)


class ReplacedAdvantages:
    """-ℓ/ratio of every token of a micro-batch, with ℓ's gradient: what TRL multiplies by the ratio is then ℓ.

    It is called when TRL's loss reads its advantages, at every look-up; ℓ is worked out at the first.

    Args:
        objective: the method with its hyperparameters.
        batch, capture: the micro-batch, and what the policy's pass over it gives.
        inputs: called without arguments then, for what the method needs besides log-probs.
        count: work out `metrics`.

    Attributes:
        metrics: of the micro-batch, empty until it has been called.
        uses: how often it was.
    """

    def __init__(
        self,
        objective: Objective,
        batch: MicroBatch,
        capture: LossCapture,
        inputs: Callable[[], dict[str, Any]],
        count: bool,
    ):
        self._objective, self._batch, self._capture, self._inputs, self._count = (
            objective,
            batch,
            capture,
            inputs,
            count,
        )
        self._replaced: Tensor | None = None
        self.metrics: Metrics = {}
        self.uses = 0

    def __call__(self) -> Tensor:
        self.uses += 1
        if self._replaced is None:
            self._replaced = self._replace()
        return self._replaced

    def _replace(self) -> Tensor:
        batch, new = self._batch, self._capture.logps
        if new is None:
            raise RuntimeError(f"TRL {trl.__version__} reads the advantages before it has the new log-probs")
        old, is_rollout = batch.old_or(new), self._objective.anchor == "rollout"
        per_token, metrics = self._objective.per_token(
            new.float(),
            old.float(),
            batch.advantages.float(),
            batch.mask,
            logp_rollout=batch.rollout(new).float() if is_rollout else None,
            metrics=self._count,
            check=False,
            **self._inputs(),
        )
        # The sampler's distance and the entropy are TRL's to log.
        self.metrics = {name: pair for name, pair in metrics.items() if name not in ("rollout_kl", "entropy")}
        return as_advantages(per_token, torch.exp(new - old).float(), batch.mask)
