"""Faults of order: log-probs that belong to a neighbouring token, to another row, or differ at the end alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bandpo.microscope.alignment.panel import Panel, Tokens
from bandpo.microscope.alignment.verdict import Finding

LEFT_OVER = 0.25
"""A move explains the error if at most this share of the mean |d| is left."""
PROBES, CANDIDATES, WIDTH = 64, 16_384, 32


def shifted(panel: Panel) -> Finding | None:
    """Find a shift by one or two places along the row, from how well the moved log-probs fit."""
    best = (LEFT_OVER, 0, 0)
    width = panel.mask.shape[1]
    for k in (1, -1, 2, -2):
        if width <= abs(k):
            continue
        here, there = slice(max(-k, 0), width - max(k, 0)), slice(max(k, 0), width - max(-k, 0))
        both = panel.mask[:, here] & panel.mask[:, there]
        apart = (panel.new[:, here] - panel.old[:, here])[both].abs().sum()
        moved = (panel.new[:, here] - panel.old[:, there])[both].abs().sum()
        if both.sum() >= 4 and apart > 0:
            best = min(best, (float(moved / apart), k, int(both.sum())))
    left, k, places = best
    if not k:
        return None
    direction = "later" if k > 0 else "earlier"
    return Finding(
        "shifted",
        f"stand {abs(k)} place{'s' * (abs(k) > 1)} {direction} than they should: moved back, {left:.0%} of the error "
        f"is left over {places:,} tokens",
        evidence={"shift": k, "shift_left_over": left},
    )


def _distances(panel: Panel, probes: Tensor) -> Tensor:
    """Return mean |new row j - old row i| for probes i and all rows j, inf where too few places count on both."""
    new, mask = panel.new[:, :WIDTH], panel.mask[:, :WIDTH].double()
    new = torch.where(mask > 0, new, 0.0)
    out = torch.empty(len(probes), len(new), dtype=torch.float64)
    for number, i in enumerate(probes.tolist()):
        old = torch.where(mask[i] > 0, panel.old[i, :WIDTH], 0.0)
        both = mask * mask[i]
        count = both.sum(1)
        apart = ((new - old).abs() * both).sum(1) / count.clamp_min(1)
        out[number] = torch.where((count >= 2) & (count >= mask.sum(1) / 2), apart, math.inf)
    return out


def rows_permuted(panel: Panel) -> Finding | None:
    """Find rows in another order, from whose log-probs fit whose."""
    rows = panel.mask.any(1).nonzero()[:CANDIDATES, 0]
    if len(rows) < 2:
        return None
    panel = panel.rows(rows)
    probes = torch.linspace(0, len(rows) - 1, min(PROBES, len(rows))).round().long()
    distance = _distances(panel, probes)
    own = distance[torch.arange(len(probes)), probes].clone()
    distance[torch.arange(len(probes)), probes] = math.inf
    best, which = distance.min(1)
    fair = torch.isfinite(own) & torch.isfinite(best)
    own, best, which = own[fair], best[fair], which[fair]
    if not len(own) or not own.sum() > 0:
        return None
    left = float(torch.minimum(own, best).sum() / own.sum())
    moved = best < own * LEFT_OVER
    # Rows of a real permutation go to different places; a typical row that fits many would be chosen again and again.
    different = len(torch.unique(which[moved])) / max(int(moved.sum()), 1)
    if left > LEFT_OVER or different < 0.5 or moved.sum() < 2:
        return None
    share = float(moved.double().mean())
    return Finding(
        "rows permuted",
        f"belong to other rows: {int(moved.sum())} of {len(own)} rows looked at fit another row, and {left:.0%} of "
        "the error is left when they go there",
        evidence={"rows_moved": share, "rows_left_over": left},
    )


def last_token(tokens: Tokens, sigma: float) -> Finding | None:
    """Find an error at the last token of each row alone, from its size there over its size elsewhere, noise aside."""
    square, noise = tokens.d.square(), (sigma * tokens.scale).square()
    last, rest = tokens.is_last, ~tokens.is_last
    if last.sum() < 2 or rest.sum() < 4:
        return None
    at_last, elsewhere = float(square[last].mean().sqrt()), float(square[rest].mean().sqrt())
    beyond = [max(float((square - noise)[where].sum()), 0.0) for where in (last, rest)]
    share = beyond[0] / max(sum(beyond), 1e-30)
    ratio = at_last / max(elsewhere, 1e-6)
    if ratio < 10 or share < 0.9:
        return None
    return Finding(
        "last token",
        f"are wrong at the last token of the sequences: the error there is {at_last:.2g} nats (rms), {ratio:,.0f} "
        "times that of the other tokens",
        evidence={"last_over_rest": ratio, "last_share": share},
    )
