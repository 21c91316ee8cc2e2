"""Which options of a method the atlas moves, and through which values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bandpo.core.methods.method import Method
from bandpo.core.regions.flexible_entropy import STRATEGIES
from bandpo.core.regions.two_sides import SIDES
from bandpo.views.listing import written

_RADII = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
_CLIPS = (0.1, 0.2, 0.28, 0.4, 0.6, 0.8)
_TENTHS = tuple(tenth / 10 for tenth in range(11))
# Values by name of the option, where a ladder around the authors' value would not do. Words are a list to choose from.
_VALUES: dict[str, Iterable[Any]] = {
    "delta": _RADII,
    "delta_low": _RADII,
    "delta_high": _RADII,
    "eps": _CLIPS,
    "eps_low": _CLIPS,
    "eps_high": _CLIPS,
    "max_ratio": (1.5, 2.0, 3.0, 5.0, 10.0, 20.0),
    "dual_clip": (1.5, 2.0, 3.0, 5.0, 10.0),
    "progress": _TENTHS,
    "boost": (0.0, 1.0),
    "lower": SIDES,
    "upper": SIDES,
    "strategy": STRATEGIES,
    "base": ("grpo", "clip-higher", "band-kl", "sapo"),
}
_LADDER = (0.25, 0.5, 1.0, 2.0, 4.0)


class Knob(NamedTuple):
    """One option and the values it takes.

    Attributes:
        name: of the option.
        labels: its values as text.
        settings: its values as options of the method.
        start: index of the authors' value.
        is_scale: True for numbers in order, False for words to choose from.

    >>> knobs(bandpo.get_method("cfpo"))[0].labels
    ['0.1', '0.2', '0.28', '0.4', '0.6', '0.8']
    """

    name: str
    labels: list[str]
    settings: list[dict[str, Any]]
    start: int
    is_scale: bool


def knobs(method: Method, fixed: Mapping[str, Any] | None = None) -> list[Knob]:
    """Return every option of a method that has values to move through; the method may refuse some of them.

    Args:
        method: the method.
        fixed: inputs and options that the picture sets; options among them have no knob, inputs start at that value.

    >>> [knob.name for knob in knobs(bandpo.get_method("sapo"))]
    ['tau_pos', 'tau_neg']
    """
    fixed = fixed or {}
    numbers = {name: fixed[name] for name, needed in method.inputs.items() if needed.shape == "" and name in fixed}
    options = {name: value for name, value in method.hyperparameters.items() if name not in fixed}
    candidates = (_knob(name, value) for name, value in {**numbers, **options}.items())
    return [knob for knob in candidates if len(knob.labels) > 1]


def _knob(name: str, start: Any) -> Knob:
    values = _candidates(name, start)
    is_scale = not isinstance(start, str | bool)
    return Knob(name, [written(v) for v in values], [{name: v} for v in values], values.index(start), is_scale)


def _candidates(name: str, start: Any) -> list[Any]:
    """Return the values to try, the authors' among them, in order; off first, where a slider is empty."""
    if isinstance(start, bool):
        return [False, True]
    if name in _VALUES:
        values = _VALUES[name]
    elif isinstance(start, float) and math.isfinite(start):
        values = (start * step for step in _LADDER)
    else:
        return [start]
    if isinstance(start, str):
        return list(values)
    return [*([None] if start is None else []), *sorted({*values, start} - {None})]
