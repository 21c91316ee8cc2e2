"""The verdict of an inspection in sentences: does the region act and on what, are log-probs aligned, is it too wide."""

from __future__ import annotations

from collections.abc import Sequence

from bandpo.microscope.alignment.verdict import Alignment
from bandpo.microscope.inspection.movement import Movement
from bandpo.microscope.inspection.noise import WORTH_SAYING, Noise
from bandpo.microscope.inspection.shares import Share, Shares

RARE = 2  # buckets of probability below 0.05
_SHOWN = 4


def on_region(method: str, shares: Shares, moved: Movement, widths: Sequence[float | None]) -> str:
    """Say whether the region acts, on what, and if not, why not."""
    total = shares.total
    if not total.tokens:
        return f"The region ({method}) could not be applied: see what the files lack."
    if not total.mass:
        return f"The region ({method}) has nothing to act on: every advantage is 0, as where all answers score alike."
    if total.dropped:
        return _acting(method, shares)
    if moved.largest == 0:
        return (
            f"The region ({method}) cannot act: every one of {total.tokens:,} ratios is exactly 1. The old log-probs "
            "are taken under the weights being trained, as at the first update on each batch, or where a batch is used "
            "for one update only (in TRL: num_iterations and steps_per_generation over gradient_accumulation_steps)."
        )
    narrowest = min((width for width in widths if width is not None), default=None)
    beside = "" if narrowest is None else f"; its narrowest bound, of a likely token, is {narrowest:.2g}"
    return (
        f"The region ({method}) stopped none of {total.tokens:,} tokens: no token moved past its bound. The farthest "
        f"moved by |log r| = {moved.largest:.2g}, half of them by less than {moved.quantile(0.5):.1g}{beside}."
    )


def _acting(method: str, shares: Shares) -> str:
    total, rare = shares.total, shares.table("probability")[:RARE]
    dropped = sum(share.dropped for share in rare) / total.dropped
    return (
        f"The region ({method}) acts on {percent(total.stopped_share)} of tokens ({total.stopped:,} of "
        f"{total.tokens:,}) and drops {percent(total.dropped_share)} of the gradient; {percent(dropped)} of what it "
        f"drops is on tokens below p = 0.05. {_most(shares.table('side'))}"
    )


def _most(sides: list[Share]) -> str:
    most = max(sides, key=lambda share: share.dropped)
    whole = sum(share.dropped for share in sides)
    return f"Most of it, {percent(most.dropped / whole)}, is on {most.label}." if whole else ""


def on_alignments(alignments: Sequence[Alignment]) -> list[str]:
    """Say of every pair of policies whether its log-probs agree."""
    return [alignment.sentence for alignment in alignments]


def on_noise(rows: Sequence[Noise]) -> str:
    """Say where noise fills much of the region, "" where it does not."""
    loud = [row for row in rows if row.tokens >= _SHOWN and row.share is not None and row.share > WORTH_SAYING]
    if not loud:
        return ""
    worst = max(loud, key=lambda row: row.share or 0.0)
    return (
        f"Noise fills {percent(worst.share or 0.0)} of the region's width for tokens of {worst.label}: at identical "
        f"weights 1 % of them are off by more than |log r| = {worst.q99:.2g}, the nearer bound is at {worst.width:.2g}."
    )


def percent(share: float) -> str:
    """Return a share for people, never 0 where it is not.

    >>> percent(0.5), percent(0.0123), percent(1e-6), percent(0)
    ('50 %', '1.2 %', '0.0001 %', '0 %')
    """
    if share == 0:
        return "0 %"
    return f"{100 * share:.1g} %" if share < 0.001 else f"{100 * share:.2g} %" if share < 0.995 else "100 %"
