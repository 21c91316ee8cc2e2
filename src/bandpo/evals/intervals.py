"""Uncertainty over problems, by scipy: bootstrap intervals, and paired tests between two evaluations."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

BOOTSTRAP = "BCa bootstrap over problems (scipy.stats.bootstrap)"
PERMUTATION = "paired permutation test over problems (scipy.stats.permutation_test)"
LEVEL, RESAMPLES = 0.95, 9999
_CELLS = 10_000_000
_ROUNDING = 1e-12


def ratio_of_sums(numerators: Any, denominators: Any, axis: int = -1) -> Any:
    """Return what every score is: sum over problems by sum over problems (all denominators 1 for a mean).

    NaN where every denominator is 0: a score of no problem.
    """
    with np.errstate(invalid="ignore"):
        return np.sum(numerators, axis=axis) / np.sum(denominators, axis=axis)


def bootstrap_interval(numerators: Sequence[float], denominators: Sequence[float], seed: int) -> dict[str, Any]:
    """Return the 95 % BCa interval of a score when problems are drawn again.

    A problem's score holds the noise of its samples too, so the interval covers both.

    Args:
        numerators, denominators: one of each a problem; the score is the ratio of their sums. A problem whose
            denominator is 0 has no score and is left out.
        seed: of the resampling.

    Returns:
        low and high, None where there is no interval, and then `why`.

    >>> bootstrap_interval([1.0, 1.0, 1.0], [1, 1, 1], seed=0)["why"]
    'every problem has the same score'
    """
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    top, bottom = top[bottom > 0], bottom[bottom > 0]
    if len(top) == 0:
        return {"low": None, "high": None, "why": "no problem has a score"}
    if len(top) < 2:
        return {"low": None, "high": None, "why": "a single problem"}
    if _is_constant(_influence(top, bottom), top, bottom):
        return {"low": None, "high": None, "why": "every problem has the same score"}
    return _bootstrap((top, bottom), ratio_of_sums, seed)


def paired_difference(
    a: tuple[Sequence[float], Sequence[float]], b: tuple[Sequence[float], Sequence[float]], seed: int
) -> dict[str, Any]:
    """Return the score of a minus score of b on the same problems, with interval and two-sided p.

    Args:
        a, b: numerators and denominators of each, one a problem, in the same order. A problem whose denominator is
            0 in either has no pair and is left out.
        seed: of the resampling. All 2^n exchanges are counted where they are no more than the resamples.

    Returns:
        difference, low, high, p, and `why` where there is no interval; p is None for a single problem.

    >>> same = ([1.0, 0.0, 1.0], [1, 1, 1])
    >>> paired_difference(same, same, seed=0)
    {'difference': 0.0, 'low': None, 'high': None, 'p': 1.0, 'why': 'no problem differs'}
    """
    columns = [column for side in both_scored(a, b) for column in side]

    def difference(top_a: Any, bottom_a: Any, top_b: Any, bottom_b: Any, axis: Any = -1) -> Any:
        return ratio_of_sums(top_a, bottom_a, axis) - ratio_of_sums(top_b, bottom_b, axis)

    entry: dict[str, Any] = {"difference": float(difference(*columns)), "low": None, "high": None, "p": None}
    if not len(columns[0]):
        return {**entry, "why": "no problem has a score in both"}
    if np.array_equal(columns[0], columns[2]) and np.array_equal(columns[1], columns[3]):
        return {**entry, "p": 1.0, "why": "no problem differs"}
    if len(columns[0]) < 2:
        return {**entry, "why": "a single problem"}
    entry["p"] = _permutation(columns, seed)
    if _is_constant(_influence(*columns[:2]) - _influence(*columns[2:]), *columns[:2]):
        return {**entry, "why": "every problem differs by the same"}
    return {**entry, **_bootstrap(tuple(columns), difference, seed)}


def both_scored(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return the numerators and denominators of the problems that have a score in both, as arrays.

    >>> both_scored(([1.0, 0.0], [1, 0]), ([0.5, 0.5], [1, 1]))
    ((array([1.]), array([1.])), (array([0.5]), array([1.])))
    """
    sides = [[np.asarray(column, float) for column in side] for side in (a, b)]
    kept = (sides[0][1] > 0) & (sides[1][1] > 0)
    first, second = ((top[kept], bottom[kept]) for top, bottom in sides)
    return first, second


def _influence(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return what each problem adds to the score's deviation from itself, to first order."""
    return (top - ratio_of_sums(top, bottom) * bottom) / bottom.sum()


def _is_constant(influence: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> bool:
    """Return whether the problems are alike but for rounding."""
    return bool(np.ptp(influence) <= _ROUNDING * (np.abs(top).max() + np.abs(bottom).max()) / bottom.sum())


def _bootstrap(columns: tuple[np.ndarray, ...], statistic: Any, seed: int) -> dict[str, Any]:
    bootstrap: Any = stats.bootstrap
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # The result says so too.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = bootstrap(
            columns,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            batch=max(1, _CELLS // len(columns[0])),
            confidence_level=LEVEL,
            method="BCa",
            random_state=np.random.default_rng(seed),
        )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    if np.isfinite([low, high]).all():
        return {"low": low, "high": high}
    return {"low": None, "high": None, "why": "the BCa interval does not exist: nearly all resamples are alike"}


def _permutation(columns: Sequence[np.ndarray], seed: int) -> float:
    """Return the two-sided p when the two are exchanged problem by problem; places stand for problems."""
    top, bottom = np.concatenate([columns[0], columns[2]]), np.concatenate([columns[1], columns[3]])
    count = len(columns[0])

    def difference(x: Any, y: Any, axis: int = -1) -> Any:
        x, y = np.asarray(x, int), np.asarray(y, int)
        return ratio_of_sums(top[x], bottom[x], axis) - ratio_of_sums(top[y], bottom[y], axis)

    test: Any = stats.permutation_test
    result = test(
        (np.arange(count), np.arange(count, 2 * count)),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _CELLS // count),
        random_state=np.random.default_rng(seed),
    )
    return float(result.pvalue)
