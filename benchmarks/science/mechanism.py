"""How fast a region lets a token rise and fall, exactly: what its bounds alone say, whatever is trained.

A rollout that pushes a token to its upper bound multiplies its probability p by the bound at p, one that pushes it to
its lower bound likewise. Counted are the rollouts in a row that it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from bandpo.views.bounds import method_bounds
from bandpo.views.specs import Spec

REGIONS = (
    "grpo,clip-higher,clip-higher:eps_low=0.05:eps_high=1.0,band-kl,band-mirror,band-upper,band-upper:eps_low=0.05"
)
BEGINNINGS = (0.1, 0.01, 1e-3, 1e-4)
REACHED, LOST, AT_MOST = 0.5, 1e-3, 200


def rollouts_up(spec: Spec, p: float, goal: float = REACHED) -> int | None:
    """Return how many rollouts at the upper bound take a token from p to the goal or beyond, None for over 200.

    >>> from bandpo.views.specs import parse_specs
    >>> rollouts_up(parse_specs("grpo")[0], 0.4)
    2
    """
    return _count(spec, p, lambda p: p >= goal * (1 - 1e-9), side=1)


def rollouts_down(spec: Spec, p: float, floor: float = LOST) -> int | None:
    """Return how many rollouts at the lower bound take a token from p below the floor, None for over 200.

    >>> from bandpo.views.specs import parse_specs
    >>> rollouts_down(parse_specs("grpo")[0], 0.00124)
    1
    """
    return _count(spec, p, lambda p: p < floor, side=0)


def _count(spec: Spec, p: float, is_over: Callable[[float], bool], side: int) -> int | None:
    logp = math.log(p)
    for count in range(AT_MOST + 1):
        if is_over(math.exp(logp)):
            return count
        bounds = method_bounds(spec.method, torch.tensor([logp], dtype=torch.float64), **dict(spec.hyperparameters))
        logp = min(logp + float(bounds[side]), 0.0)
    return None


def table(specs: Sequence[Spec]) -> str:
    """Return both counts by region and beginning, as Markdown."""
    ups = [f"up: {p:g} → {REACHED}" for p in BEGINNINGS]
    downs = [f"down: {p:g} → {LOST:g}" for p in BEGINNINGS if p > LOST]
    lines = ["| region | " + " | ".join([*ups, *downs]) + " |", "|---|" + "---:|" * (len(ups) + len(downs))]
    for spec in specs:
        counts = [rollouts_up(spec, p) for p in BEGINNINGS]
        counts += [rollouts_down(spec, p) for p in BEGINNINGS if p > LOST]
        lines.append(f"| `{spec.label}` | " + " | ".join(_written(count) for count in counts) + " |")
    return "\n".join(lines) + "\n"


def _written(count: int | None) -> str:
    return f"> {AT_MOST}" if count is None else str(count)
