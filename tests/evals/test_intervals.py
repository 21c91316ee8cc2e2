"""Intervals and p values against scipy called directly, enumeration, and simulated coverage."""

import itertools

import numpy as np
import pytest
from scipy import stats

from bandpo.evals.intervals import RESAMPLES, bootstrap_interval, paired_difference

ONES = [1.0] * 12
SCORES = [0.0, 0.1, 0.9, 1.0, 0.3, 0.3, 0.7, 0.2, 0.0, 1.0, 0.4, 0.6]
OTHERS = [0.1, 0.1, 0.8, 0.7, 0.3, 0.2, 0.4, 0.2, 0.1, 0.9, 0.1, 0.6]


def test_the_interval_of_a_mean_is_scipys():
    generator = np.random.default_rng(3)
    expected = stats.bootstrap((SCORES,), np.mean, n_resamples=RESAMPLES, method="BCa", random_state=generator)
    entry = bootstrap_interval(SCORES, ONES, seed=3)
    assert entry["low"] == pytest.approx(expected.confidence_interval.low, abs=0.015)
    assert entry["high"] == pytest.approx(expected.confidence_interval.high, abs=0.015)
    assert entry == bootstrap_interval(SCORES, ONES, seed=3) != bootstrap_interval(SCORES, ONES, seed=4)


def test_the_interval_of_a_ratio_resamples_problems_whole():
    """Entropy over tokens: numerator and denominator of a problem stay together."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(5, 500, size=60).astype(float)
    same_rate = bootstrap_interval((0.5 * tokens).tolist(), tokens.tolist(), seed=0)
    assert same_rate["low"] is None and "same score" in same_rate["why"]
    rates = generator.uniform(0.2, 0.8, size=60)
    entry = bootstrap_interval((rates * tokens).tolist(), tokens.tolist(), seed=0)
    value = (rates * tokens).sum() / tokens.sum()
    spread = [np.average(rates[i], weights=tokens[i]) for i in generator.integers(0, 60, size=(2000, 60))]
    assert entry["low"] < value < entry["high"]
    assert (entry["high"] - entry["low"]) == pytest.approx(2 * 1.96 * np.std(spread), rel=0.2)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """120 evaluations of 40 problems whose chances are drawn alike, 8 samples each."""
    generator, hits = np.random.default_rng(5), 0
    for seed in range(120):
        chances = generator.beta(0.8, 1.6, size=40)
        entry = bootstrap_interval((generator.binomial(8, chances) / 8).tolist(), [1.0] * 40, seed)
        hits += entry["low"] <= 0.8 / 2.4 <= entry["high"]
    assert stats.binomtest(hits, 120, 0.94).pvalue > 1e-3


@pytest.mark.parametrize(("scores", "why"), [([0.4], "a single problem"), ([0.5] * 7, "every problem has the same")])
def test_where_there_is_no_interval_it_says_so(scores, why):
    entry = bootstrap_interval(scores, [1.0] * len(scores), seed=0)
    assert entry["low"] is entry["high"] is None and why in entry["why"]


def test_one_problem_unlike_the_others_still_has_an_interval():
    entry = bootstrap_interval([0.0] * 29 + [1.0], [1.0] * 30, seed=0)
    assert entry["low"] == pytest.approx(0.0) and entry["high"] > 1 / 30


def test_the_difference_is_paired():
    entry = paired_difference((SCORES, ONES), (OTHERS, ONES), seed=0)
    differences = np.subtract(SCORES, OTHERS)
    assert entry["difference"] == pytest.approx(differences.mean())
    alone = bootstrap_interval(differences.tolist(), ONES, seed=0)
    assert entry["low"] == pytest.approx(alone["low"], abs=0.01)
    assert entry["high"] == pytest.approx(alone["high"], abs=0.01)
    unpaired = bootstrap_interval(SCORES, ONES, seed=0)
    assert entry["high"] - entry["low"] < 0.5 * (unpaired["high"] - unpaired["low"])


def test_p_is_exact_over_all_exchanges():
    """2^12 exchanges are fewer than the resamples, so all are counted."""
    differences = np.subtract(SCORES, OTHERS)
    signs = np.array(list(itertools.product([1, -1], repeat=12)))
    means = signs @ differences / 12
    below = (means <= differences.mean() + 1e-12).mean()
    above = (means >= differences.mean() - 1e-12).mean()
    entry = paired_difference((SCORES, ONES), (OTHERS, ONES), seed=0)
    assert entry["p"] == pytest.approx(min(1.0, 2 * min(below, above)))


def test_p_of_a_ratio_exchanges_whole_problems():
    """Entropy differs only by length: exchanging problems must move tokens with their sums."""
    a, b = ([1.0, 8.0, 3.0], [2.0, 4.0, 6.0]), ([2.0, 5.0, 2.0], [1.0, 5.0, 4.0])
    values = []
    for swap in itertools.product([0, 1], repeat=3):
        sides = [[(b, a)[s == side] for s in swap] for side in (0, 1)]
        ratio = [sum(s[0][i] for i, s in enumerate(side)) / sum(s[1][i] for i, s in enumerate(side)) for side in sides]
        values.append(ratio[0] - ratio[1])
    seen = sum(a[0]) / sum(a[1]) - sum(b[0]) / sum(b[1])
    below = np.mean([value <= seen + 1e-12 for value in values])
    above = np.mean([value >= seen - 1e-12 for value in values])
    assert paired_difference(a, b, seed=0)["p"] == pytest.approx(min(1.0, 2 * min(below, above)))


@pytest.mark.parametrize(
    ("a", "b", "p", "why"),
    [
        ([0.5, 0.2], [0.5, 0.2], 1.0, "no problem differs"),
        ([0.5], [0.2], None, "a single problem"),
        ([0.5, 0.7, 0.9], [0.25, 0.45, 0.65], 0.25, "differs by the same"),
    ],
)
def test_where_a_difference_has_no_interval_it_says_so(a, b, p, why):
    ones = [1.0] * len(a)
    entry = paired_difference((a, ones), (b, ones), seed=0)
    assert entry["low"] is None and why in entry["why"] and entry["p"] == pytest.approx(p)


def test_large_sets_fit_in_memory():
    generator = np.random.default_rng(0)
    scores = generator.random(2000).tolist()
    entry = bootstrap_interval(scores, [1.0] * 2000, seed=0)
    assert entry["high"] - entry["low"] == pytest.approx(2 * 1.96 / np.sqrt(12 * 2000), rel=0.1)
