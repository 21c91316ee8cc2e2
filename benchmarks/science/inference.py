"""What differences between runs of the same seeds show: intervals, tests, and Holm's correction of many tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from bandpo.evals.intervals import LEVEL, bootstrap_interval
from bandpo.runs.comparison.summary import paired_t


def paired(a: Sequence[float], b: Sequence[float], margin: float | None = None) -> dict[str, Any]:
    """Return the mean of a - b over pairs, its intervals and its p.

    Args:
        a, b: a score of each run, the same seeds in the same order, at least two.
        margin: test that a is not worse than b by as much, one-sided; None tests that they are equal, two-sided.

    Returns:
        mean, se, low and high of the 95 % t interval, boot_low and boot_high of the BCa bootstrap over seeds, p of
        the t test. Where all pairs differ by the same the intervals are that difference.

    >>> round(paired([0.2, 0.3, 0.4], [0.1, 0.1, 0.3])["mean"], 4)
    0.1333
    """
    difference = np.subtract(a, b)
    found = {"n": len(difference), **paired_t(a, b)}
    mean = found["mean"]
    if "p" not in found:
        is_shown = mean > -margin if margin is not None else mean != 0
        return {**found, "low": mean, "high": mean, "boot_low": mean, "boot_high": mean, "p": 0.0 if is_shown else 1.0}
    if margin is not None:
        test: Any = stats.ttest_1samp(difference, -margin, alternative="greater")
        found["p"] = float(test.pvalue)
    drawn = bootstrap_interval(difference.tolist(), [1.0] * len(difference), seed=0)
    return {**found, "boot_low": drawn["low"], "boot_high": drawn["high"]}


def over_groups(difference: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the mean over groups of the mean within each, with a 95 % t interval whose unit is the group.

    Args:
        difference: paired differences by group, such as the warm start; at least two groups.

    >>> found = over_groups({"a": [0.1, 0.1], "b": [0.3, 0.3]})
    >>> round(found["mean"], 3), found["groups"]
    (0.2, 2)
    """
    means = [float(np.mean(values)) for values in difference.values()]
    mean, error = float(np.mean(means)), float(stats.sem(means))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(means) - 1)) * error
    return {"groups": len(means), "mean": mean, "low": mean - reach, "high": mean + reach}


def holm(p: Sequence[float]) -> list[float]:
    """Return p corrected for the number of tests by Holm's method: the i-th smallest times the tests from it on.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p)
    corrected, largest = [math.nan] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        corrected[int(place)] = largest
    return corrected
