"""What each run's method does to its tokens.

Interval methods are a table: the bounds of every token, worked out once a rollout, so that runs of all of them are
clipped at once. Every other method is called for its runs, through the core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import bandpo
from bandpo.core.methods.entropy import token_entropy
from bandpo.core.methods.method import IntervalMethod, Method
from bandpo.core.methods.registry import get_method
from bandpo.core.regions.clipping import clip_to
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.region import Region
from bandpo.core.tokens import MAX_LOG_RATIO, Surrogate, Tokens
from bandpo.views.specs import Spec

_INPUTS = {"progress", "boost", "entropy", "logits", "group_rewards"}


@dataclass(frozen=True)
class Rule:
    """A method with its options, for the runs from `first` to before `last`."""

    method: Method
    options: dict[str, Any]
    first: int
    last: int

    @property
    def is_interval(self) -> bool:
        """Tell whether its bounds are all there is to it."""
        return isinstance(self.method, IntervalMethod)

    @property
    def needs_all(self) -> bool:
        """Tell whether answers without advantage matter to it too."""
        method = self.method
        more = method.scope == "batch" or method.family == "bonus" or "group_rewards" in method.inputs
        return more or not method.scales_with_advantage


def register_study_method(name: str, rule: Callable[..., Region], formula: str) -> None:
    """Let this process know an interval of a study's by its name, once."""
    if name not in bandpo.methods():
        about = {"family": "interval", "formula": formula, "citation": "this project"}
        bandpo.register_method(name, **about, ours=True, experimental=True)(rule)


def order(spec: Spec) -> tuple[bool, float, str]:
    """Return the key by which runs stand in a stack: intervals first, those of one method together."""
    method = get_method(spec.method)
    cap = method.resolve(dict(spec.hyperparameters)).get("dual_clip")
    return not isinstance(method, IntervalMethod), cap or 0.0, spec.label


def rules_of(specs: Sequence[Spec]) -> list[Rule]:
    """Return the rules of runs in the order of a stack; a method that looks at its whole batch has one a run.

    Raises:
        ValueError: a method needs what the bench does not have.
    """
    rules: list[Rule] = []
    for run, spec in enumerate(specs):
        method = get_method(spec.method)
        missing = [name for name in method.inputs if name not in _INPUTS]
        options = method.resolve(dict(spec.hyperparameters))
        if missing or options.get("strategy") == "od":
            raise ValueError(f"{spec.label} needs {', '.join(missing) or 'a switch'}: the bench has none")
        last = rules[-1] if rules else None
        if last and (last.method, last.options) == (method, options) and method.scope != "batch":
            rules[-1] = Rule(method, options, last.first, run + 1)
        else:
            rules.append(Rule(method, options, run, run + 1))
    return rules


def bounds(rules: Sequence[Rule], logp_old: Tensor, progress: float) -> Interval:
    """Return the bounds of every token, (runs, answers, tokens); ∓∞ for runs whose method is no interval."""
    low, high = torch.full_like(logp_old, -math.inf), torch.full_like(logp_old, math.inf)
    for rule in rules:
        if rule.is_interval:
            chosen = slice(rule.first, rule.last)
            given = {"progress": progress} if "progress" in rule.method.inputs else {}
            low[chosen], high[chosen] = rule.method.interval(logp_old[chosen], check=False, **given, **rule.options)
    return Interval(low, high)


def surrogates(
    rules: Sequence[Rule],
    counts: Sequence[int],
    tokens: Tokens,
    interval: Interval,
    logits: Tensor,
    group_rewards: Tensor,
) -> Surrogate:
    """Return the loss of every token and its gradient, each run's by its own method.

    Args:
        rules: of the stack.
        counts: rows of every run.
        tokens: of all rows, (rows, tokens).
        interval: bounds of the same tokens.
        logits: (rows, tokens, vocabulary).
        group_rewards: (rows, answers of a prompt), rewards less their mean.
    """
    ends = [0]
    for count in counts:
        ends.append(ends[-1] + count)
    guarded = tokens._replace(log_ratio=tokens.log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))
    parts = []
    for part, group in _joined(rules):
        rows = slice(ends[part.first], ends[group.last])
        own = Tokens(*(each[rows] for each in guarded))
        if part.is_interval:
            limits = Interval(interval.low[rows], interval.high[rows])
            parts.append(clip_to(limits, own, part.options.get("dual_clip")))
        elif rows.start < rows.stop:
            given = _inputs(part.method, logits[rows], group_rewards[rows])
            parts.append(part.method.apply(own, **given, **part.options)[0])
    return Surrogate(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _joined(rules: Sequence[Rule]) -> list[tuple[Rule, Rule]]:
    """Return the first and the last rule of every piece that is worked out at once: intervals of one dual clip."""
    pieces: list[tuple[Rule, Rule]] = []
    for rule in rules:
        start, before = pieces[-1] if pieces else (rule, rule)
        is_same = before.options.get("dual_clip") == rule.options.get("dual_clip")
        if pieces and is_same and before.is_interval and rule.is_interval:
            pieces[-1] = (start, rule)
        else:
            pieces.append((rule, rule))
    return pieces


def _inputs(method: Method, logits: Tensor, group_rewards: Tensor) -> dict[str, Any]:
    """Return what a method needs besides log-probs."""
    inputs: dict[str, Any] = {}
    if "entropy" in method.inputs:
        inputs["entropy"] = token_entropy(logits)
    if "logits" in method.inputs:
        inputs["logits"] = logits
    if "group_rewards" in method.inputs:
        inputs["group_rewards"] = group_rewards
    return inputs
