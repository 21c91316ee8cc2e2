"""What each part is asked, what is right or fast enough, and what one H200 said before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

BEFORE = "67ec92a"
"""The commit that was measured on one H200, 2026-11-28: torch 2.11, triton 3.6, CUDA 13.0."""
NOT_MEASURED = "not measured"
CUT = "cut in the evaluation, at 140 s"


@dataclass(frozen=True)
class Question:
    """One row of the table.

    Attributes:
        part: who answers it.
        what: what is measured, with its unit.
        asked: the bound that the value must keep; None where a number is all that is asked for.
        at_least: whether the bound is one from below.
        before: what was measured on commit `BEFORE`.
    """

    part: str
    what: str
    asked: float | None = None
    at_least: bool = False
    before: str = NOT_MEASURED

    def bound(self) -> str:
        """Return the bound in words."""
        if self.asked is None:
            return "–"
        if self.asked == 0 and not self.at_least:
            return "0"
        return f"{'at least' if self.at_least else 'at most'} {number(self.asked)}"

    def holds(self, value: float) -> bool:
        """Return whether a value keeps the bound; NaN keeps none."""
        if self.asked is None:
            return not math.isnan(value)
        return value >= self.asked if self.at_least else value <= self.asked

    def verdict(self, value: float | None) -> str:
        """Return the value's verdict in a word or two.

        >>> QUESTIONS["launches"].verdict(2), QUESTIONS["launches"].verdict(14), QUESTIONS["launches"].verdict(None)
        ('reached', '**missed**', 'not measured')
        """
        if value is None:
            return NOT_MEASURED
        if self.asked is None:
            return "–"
        right, wrong = ("right", "**wrong**") if self.part == "correctness" else ("reached", "**missed**")
        return right if self.holds(value) else wrong


def number(value: float) -> str:
    """Return a number as a table shows it.

    >>> number(3), number(1.28431), number(3.4e-7), number(16_000_000)
    ('3', '1.28', '3.4e-07', '16,000,000')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _right(what: str, asked: float = 0, before: str = NOT_MEASURED) -> Question:
    return Question("correctness", what, asked, before=before)


QUESTIONS: Mapping[str, Question] = {
    "decisions": _right("tokens decided otherwise than in fp64, beyond rounding", before="0"),
    "gradients": _right("gradient in fp32: largest relative error", 2e-6, "3.4e-7"),
    "gradients16": _right("gradient in bf16 and fp16: largest error, units of the last place", 1),
    "losses": _right("loss: largest error, of the mean loss of a token without its sign", 2e-6),
    "metrics": _right("metrics: largest relative error of a sum", 1e-5),
    "bounds": _right("bounds of KL, TV, χ², Hellinger, one or both: largest error, ulp", 8, "5 (KL 1.03)"),
    "shapes": _right("sizes, layouts and masks with a wrong loss or gradient"),
    "large": _right("wrong tokens of 1e8 in one call", before="0, of 2.29e9"),
    "long_row": _right("wrong tokens of one row of 70 million"),
    "not_numbers": _right("losses of NaN log-probs, unchecked, that are not NaN"),
    "same_bits": _right("repeated passes with other bits", before="0"),
    "streams": _right("passes on two streams at once with other bits"),
    "graphs": _right("replays of a CUDA graph with other bits than the eager pass"),
    "compiled": _right("compiled passes with another loss or gradient than the eager pass"),
    "compiled_graphs": _right('the same with mode="reduce-overhead"'),
    "launches": Question("speed", "kernels of a forward and backward pass", 2, before="14"),
    "launches_metrics": Question("speed", "the same with metrics", 3),
    "syncs": Question("speed", "host synchronisations of a pass", 0, before="0"),
    "host_us": Question("speed", "host's µs for an eager pass", before="about 1,000"),
    "host_ratio": Question("speed", "the same, times the stock PPO clip's", 1, before="1.01"),
    "graph_32k": Question("speed", "µs of a pass in a CUDA graph, 32,000 tokens", 15, before="24"),
    "graph_16m": Question("speed", "the same at 16M tokens, times a copy of 25 bytes a token", 1.3, before="2.49"),
    "graph_1e8": Question("speed", "the same at 1e8 tokens", 1.3),
    "metrics_graph": Question("speed", "pass with metrics in a graph, 16M tokens, times one without", 1.2),
    "metrics_eager": Question("speed", "eager pass with metrics, 32,000 tokens, times one without", 1.2, before="1.36"),
    "bounds_16m": Question("speed", "Band-KL bounds, 16M tokens, times a copy of 12 bytes a token", before="1.41"),
    "compile_seconds": Question("speed", "seconds to compile the Band-KL loss"),
    "compiled_us": Question("speed", "µs of the compiled Band-KL loss, 32,000 tokens", before="864"),
    "train": Question("commands", "exit code of bandpo train", 0, before="0"),
    "train_seconds": Question("commands", "seconds of its 96 updates", before="7"),
    "eval": Question("commands", "exit code of bandpo eval", 0, before="0"),
    "stages": Question(
        "training",
        "stages done of data, stock TRL, Band-KL, evaluation",
        4,
        at_least=True,
        before="cut in the last evaluation, at 140 s",
    ),
    "stock_ms": Question("training", "ms of an update at 0.5B, stock TRL"),
    "band_ms": Question("training", "ms of an update at 0.5B, Band-KL"),
    "loss_share": Question("training", "share of the loss in it, %"),
    "stock_gib": Question("training", "peak memory, stock TRL, GiB"),
    "band_gib": Question("training", "peak memory, Band-KL, GiB"),
    "head_stock": Question("heads", "peak of one loss, TRL's chunked head, stock GRPO, GiB"),
    "head_band": Question("heads", "the same through our trainer, Band-KL, GiB"),
    "head_liger": Question("heads", "the same with Liger's kernels, GiB"),
    "head_logits": Question("heads", "Band-KL with the logits in memory, GiB"),
    "study_rate": Question("study", "runs a minute", 600, at_least=True),
    "study_reward": Question("study", "first rollout: largest difference of a mean reward to the CPU's", 0.02),
}
