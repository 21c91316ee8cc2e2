"""Estimators against enumeration of all subsets, the hypergeometric and binomial laws, and draws with replacement."""

import itertools
import statistics
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bandpo.evals.scores import default_ks, pass_at_k, problem_maj_at_k, problem_pass_at_k


def pass_by_enumeration(correct, samples, k):
    subsets = list(itertools.combinations([1] * correct + [0] * (samples - correct), k))
    return sum(map(max, subsets)) / len(subsets)


def maj_by_enumeration(answers, is_correct, k):
    """Mean over all subsets of k of the share of right ones among its most frequent answers."""
    total, count = Fraction(0), 0
    for subset in itertools.combinations(range(len(answers)), k):
        votes = Counter(answers[i] for i in subset if answers[i] is not None)
        count += 1
        if votes:
            most = max(votes.values())
            leaders = [answer for answer, number in votes.items() if number == most]
            right = {answers[i] for i in subset if is_correct[i]}
            total += Fraction(sum(answer in right for answer in leaders), len(leaders))
    return float(total / count)


@pytest.mark.parametrize("samples", range(1, 9))
def test_pass_at_k_is_the_mean_of_the_best_of_every_subset(samples):
    for k in range(1, samples + 1):
        exact = [pass_by_enumeration(correct, samples, k) for correct in range(samples + 1)]
        for correct, expected in enumerate(exact):
            assert problem_pass_at_k(correct, samples, k) == pytest.approx(expected, abs=1e-15)
        assert pass_at_k(range(samples + 1), samples, k) == pytest.approx(statistics.fmean(exact))


@given(st.integers(1, 5000), st.data())
def test_pass_at_k_is_the_hypergeometric_chance_of_at_least_one(samples, data):
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    expected = stats.hypergeom.sf(0, samples, correct, k)
    assert problem_pass_at_k(correct, samples, k) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(1, 200))
def test_pass_at_k_in_the_limits(correct, k):
    value = pass_at_k(correct, 200, k)
    assert 0 <= value <= 1
    assert pass_at_k(correct, 200, 1) == pytest.approx(sum(correct) / 200 / len(correct))
    assert pass_at_k(correct, 200, 200) == pytest.approx(sum(c > 0 for c in correct) / len(correct))
    if k > 1:
        assert value >= pass_at_k(correct, 200, k - 1) - 1e-12


@pytest.mark.parametrize(("p", "samples", "k"), [(0.03, 32, 8), (0.3, 16, 4), (0.01, 128, 128), (0.9, 5, 2)])
def test_pass_at_k_is_unbiased(p, samples, k):
    """Mean over how many of n are right, binomial, is the chance for k fresh samples."""
    counts = range(samples + 1)
    mean = sum(stats.binom.pmf(c, samples, p) * problem_pass_at_k(c, samples, k) for c in counts)
    assert mean == pytest.approx(1 - (1 - p) ** k, rel=1e-9)


def test_drawing_with_replacement_is_biased_and_this_is_not():
    """verl's best@k draws k of n with replacement: with one of 32 right it says 0.64 where the best of 32 is 1."""
    rewards, generator = np.array([1.0] + [0.0] * 31), np.random.default_rng(0)
    best = generator.choice(rewards, size=(20_000, 32), replace=True).max(-1).mean()
    assert best == pytest.approx(1 - (31 / 32) ** 32, abs=0.02) and best < 0.66
    assert problem_pass_at_k(1, 32, 32) == 1.0
    # The same holds for the mean over many problems with a known chance: 1 - (1 - p)^k.
    p, k = 0.05, 16
    correct = generator.binomial(32, p, size=20_000)
    truth = 1 - (1 - p) ** k
    with_replacement = np.mean(1 - (1 - correct / 32) ** k)
    assert pass_at_k(correct.tolist(), 32, k) == pytest.approx(truth, abs=0.01)
    assert with_replacement < truth - 0.04


def test_pass_at_k_is_rounded_once():
    """A chance near 1 and one near 0 both to the last digit, against exact fractions."""
    for correct, samples, k in ((1, 10_000, 9_999), (1, 10_000, 1), (5_000, 10_000, 40), (2, 10_000, 3)):
        miss = Fraction(1)
        for i in range(k):
            miss *= Fraction(samples - correct - i, samples - i)
        assert problem_pass_at_k(correct, samples, k) == float(1 - miss)


answers_and_verdicts = st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=8).flatmap(
    lambda answers: st.tuples(st.just(answers), st.sets(st.sampled_from("abcd")))
)


@settings(max_examples=150, deadline=None)
@given(answers_and_verdicts, st.data())
def test_maj_at_k_is_the_mean_over_every_subset(drawn, data):
    answers, right = drawn
    verdicts = [answer in right for answer in answers]
    k = data.draw(st.integers(1, len(answers)))
    expected = maj_by_enumeration(answers, verdicts, k)
    assert problem_maj_at_k(answers, verdicts, k) == pytest.approx(expected, abs=1e-12)


def test_maj_at_k_of_many_samples_against_draws():
    generator = np.random.default_rng(1)
    answers = generator.choice(["7", "8", "9", "x", "y"], p=[0.35, 0.3, 0.2, 0.1, 0.05], size=64).tolist()
    verdicts = [answer == "7" for answer in answers]
    for k in (5, 16, 40):
        wins = []
        for _ in range(4000):
            votes = Counter(generator.choice(answers, size=k, replace=False).tolist())
            most = max(votes.values())
            wins.append((votes.get("7", 0) == most) / sum(number == most for number in votes.values()))
        assert problem_maj_at_k(answers, verdicts, k) == pytest.approx(np.mean(wins), abs=0.03)


def test_maj_of_one_and_of_two_is_the_mean():
    """One sample has no majority, and two that differ are a tie, drawn alike."""
    answers = ["7", "7", "5", "3", "3", "3"]
    verdicts = [answer == "7" for answer in answers]
    assert problem_maj_at_k(answers, verdicts, 1) == pytest.approx(2 / 6)
    assert problem_maj_at_k(answers, verdicts, 2) == pytest.approx(2 / 6)


def test_a_majority_can_be_wrong_and_silence_does_not_vote():
    assert problem_maj_at_k(["7", "5", "5"], [True, False, False], 3) == 0.0
    assert problem_maj_at_k(["7", None, None], [True, False, False], 3) == 1.0
    assert problem_maj_at_k([None, None], [False, False], 2) == 0.0


@pytest.mark.parametrize(("correct", "k"), [([1], 0), ([1], 5), ([1], -1), ([], 2), ([5], 2), ([-1], 2)])
def test_pass_at_k_refuses_what_it_is_not_defined_for(correct, k):
    with pytest.raises(ValueError, match="expected"):
        pass_at_k(correct, 4, k)


@pytest.mark.parametrize(
    ("answers", "verdicts", "k", "message"),
    [
        (["7"], [True], 2, "k=2"),
        (["7", "7"], [True, False], 1, "'7': expected one verdict"),
        (["7", "7"], [True], 1, "shorter"),
    ],
)
def test_maj_at_k_refuses_what_it_is_not_defined_for(answers, verdicts, k, message):
    with pytest.raises(ValueError, match=message):
        problem_maj_at_k(answers, verdicts, k)


def test_default_ks():
    assert default_ks(1) == [1] and default_ks(32) == [1, 2, 4, 8, 16, 32] and default_ks(3) == [1, 2, 3]
