"""What every method would have done to the same tokens: how many it stops, how much gradient it keeps, which way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bandpo.core.methods.registry import methods
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.inspection.matching import matching_radius
from bandpo.microscope.inspection.radii import measure_of
from bandpo.microscope.inspection.rule import Acted, Rule, acted, missing, rule


@dataclass(frozen=True)
class Compared:
    """A method on the sampled tokens.

    Attributes:
        method: as `--methods` takes it, "band-kl:delta=0.03".
        matched: the radius was chosen so that it stops as many tokens as the batch's own method.
        stopped: share of the tokens.
        kept: Σ of its gradient over Σ |A| r of the plain policy gradient.
        cosine: of its gradient weights and those of the batch's own method.
        lacks: what the batch has not that the method needs; the numbers are then None.
    """

    method: str
    matched: bool = False
    stopped: float | None = None
    kept: float | None = None
    cosine: float | None = None
    lacks: str = ""


def compared(batch: TokenBatch, own: Rule) -> list[Compared]:
    """Return every method at its own settings, then those with one radius at the share that `own` stops."""
    reference = acted(batch, own)
    share = _share(reference)
    rows = [_row(batch, reference, each) for each in _defaults(own)]
    rows += [_row(batch, reference, each, matched=True) for each in _matched(batch, own, share)] if share else []
    return rows


def _defaults(own: Rule) -> Iterator[Rule]:
    for name in methods():
        each = rule(name, anchor=own.anchor)
        yield own if name == own.method.name else each


def _matched(batch: TokenBatch, own: Rule, share: float) -> Iterator[Rule]:
    """Yield the methods with one radius, at the radius that stops this share of tokens."""
    for name in methods():
        each = rule(name, anchor=own.anchor)
        found = measure_of(each)
        if found is None or name == own.method.name or missing(batch, each):
            continue
        try:
            radius = matching_radius(batch, share, found[0], own.anchor)
        except ValueError:  # fewer tokens than that move the way their advantage pushes
            continue
        if math.isfinite(radius):
            options: dict[str, Any] = dict.fromkeys(found[1], float(f"{radius:.4g}"))
            yield rule(name, options, own.anchor)


def _row(batch: TokenBatch, reference: Acted, each: Rule, matched: bool = False) -> Compared:
    lacks = missing(batch, each)
    if lacks:
        return Compared(str(each), matched, lacks=lacks)
    did = acted(batch, each)
    plain = did.plain.sum().item()
    kept = did.kept.sum().item() / plain if plain else 0.0
    return Compared(str(each), matched, _share(did), kept, _cosine(did.gradient, reference.gradient))


def _share(tokens: Acted) -> float:
    return tokens.is_stopped.double().mean().item() if len(tokens.row) else 0.0


def _cosine(one: Tensor, other: Tensor) -> float:
    one, other = one.double(), other.double()
    norms = one.norm() * other.norm()
    return (one @ other / norms).clamp(-1, 1).item() if norms else 0.0
