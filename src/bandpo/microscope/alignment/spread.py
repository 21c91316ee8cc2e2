"""Where a fixed error sits: on certain tokens (other weights), on seen ones (a penalty), in certain rows (padding)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bandpo.microscope.alignment.noise import SMALLEST_SIGMA, normal_of_f
from bandpo.microscope.alignment.panel import Tokens, dense, sums


@dataclass(frozen=True)
class TokenEffect:
    """How alike the errors of one token id are in different contexts and rows.

    Attributes:
        covariance: of u over pairs of one id in different rows; noise, being independent, adds nothing to it.
        z: the standard normal value as rare as it if every error had a random sign.
    """

    covariance: float
    z: float


def token_effect(tokens: Tokens) -> TokenEffect | None:
    """Compare errors of equal ids, one for each context, across rows; None without ids."""
    if tokens.ids is None or len(tokens) < 2:
        return None
    cells = tokens.cells
    one = torch.arange(len(tokens)) if cells is None else cells.first
    u = tokens.u if cells is None else cells.u
    u = u - u.mean()
    ids, count = dense(tokens.ids[one])
    pair, pairs = dense(ids * (int(tokens.row.max()) + 1) + tokens.row[one])
    id_of_pair = torch.zeros(pairs, dtype=torch.int64)
    id_of_pair[pair] = ids

    def across(values: torch.Tensor) -> torch.Tensor:
        """Return, by id, Σ x_i x_j over ordered pairs in different rows."""
        inside = sums(sums(values, pair, pairs).square(), id_of_pair, count)
        return sums(values, ids, count).square() - inside

    ones = torch.ones_like(u)
    weight = 1 / (sums(ones, ids, count) - 1).clamp_min(1)
    of_pairs = float((weight * across(ones)).sum())
    if of_pairs <= 0:
        return None
    total = float((weight * across(u)).sum())
    variance = 2 * weight.square() * across(u.square())
    if not float(variance.sum()) > 0:
        return TokenEffect(0.0, 0.0)
    # Each id adds about a χ² of one degree, less its mean: a few frequent ids make a skewed sum.
    free = float(variance.sum()) ** 2 / float(variance.square().sum())
    z = total / math.sqrt(float(variance.sum()))
    return TokenEffect(total / of_pairs, normal_of_f(1 + z * math.sqrt(2 / free), free, 1e9))


@dataclass(frozen=True)
class SeenEffect:
    """How far u of one token id is moved where the token stood in the row before.

    Attributes:
        shift: mean of u seen less u unseen, within ids.
        z: over its standard error, clustered by group.
        explained: share of the variance within ids that it explains.
    """

    shift: float
    z: float
    explained: float


def seen_effect(tokens: Tokens) -> SeenEffect | None:
    """Compare the seen and the unseen tokens of each id; None without ids, or where no id is found in both states."""
    if tokens.ids is None or tokens.seen is None or not len(tokens):
        return None
    cells = tokens.cells
    one = torch.arange(len(tokens)) if cells is None else cells.first
    u = tokens.u if cells is None else cells.u
    ids, count = dense(tokens.ids[one])
    size = sums(torch.ones_like(u), ids, count)
    seen = tokens.seen[one].double()
    seen, u = (each - (sums(each, ids, count) / size)[ids] for each in (seen, u))
    both = (sums(seen.square(), ids, count) > 0)[ids]
    square, total = float(seen.square().sum()), float(u[both].square().sum())
    if square == 0 or total == 0:
        return None
    shift = float((seen * u).sum()) / square
    group, groups = dense(tokens.group[one])
    error = float(sums(seen * (u - shift * seen), group, groups).square().sum().sqrt()) / square
    return SeenEffect(shift, shift / max(error, 1e-12), shift**2 * square / total)


@dataclass(frozen=True)
class RowEffect:
    """How much more the size of the error differs between groups than inside them.

    Attributes:
        ratio: F statistic of the log mean square of rows, between groups over within.
        lowest: root mean square of u in the quietest group.
        highest: the same in the loudest.
        tokens: of the quietest group.
    """

    ratio: float
    lowest: float
    highest: float
    tokens: int


def row_effect(tokens: Tokens) -> RowEffect | None:
    """Compare the size of the error over groups; None where there are fewer than three groups of two rows."""
    if tokens.panel.groups is None or not len(tokens):
        return None
    row, rows = dense(tokens.row)
    count = sums(torch.ones_like(tokens.u), row, rows)
    square = sums(tokens.u.square(), row, rows)
    group = torch.zeros(rows, dtype=torch.int64)
    group[row] = tokens.group
    group, groups = dense(group)
    if groups < 3 or rows - groups < groups:
        return None
    size = sums(torch.ones(rows, dtype=torch.float64), group, groups)
    level = torch.log(square / count + SMALLEST_SIGMA**2)
    mean = sums(level, group, groups) / size
    between = float((size * (mean - level.mean()).square()).sum()) / (groups - 1)
    within = float((level - mean[group]).square().sum()) / (rows - groups)
    by_group = sums(square, group, groups) / sums(count, group, groups)
    quietest = int(by_group.argmin())
    return RowEffect(
        ratio=between / max(within, 1e-6),
        lowest=float(by_group[quietest].sqrt()),
        highest=float(by_group.max().sqrt()),
        tokens=int(count[group == quietest].sum()),
    )
