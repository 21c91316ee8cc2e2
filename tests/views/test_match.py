"""A radius and the clip it equals are each other's inverse."""

import math

import pytest
import torch

import bandpo
from bandpo.views.match import clip_of_radius, measures, radius_of_ratio


@pytest.mark.parametrize("measure", measures())
@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_the_clip_of_a_radius_costs_that_radius(measure, p):
    low, high = clip_of_radius(p, 0.03, measure)
    assert low == 1 or radius_of_ratio(p, 1 - low, measure) == pytest.approx(0.03, rel=1e-6)
    assert measure == "kl3" or radius_of_ratio(p, 1 + high, measure) == pytest.approx(0.03, rel=1e-6)


@pytest.mark.parametrize("measure", measures())
def test_the_radius_of_a_clip_gives_that_clip_in_the_loss(measure):
    method = "atr-grpo" if measure == "kl3" else f"band-{measure}"
    delta = radius_of_ratio(0.3, 1.2, measure)
    logp_old = torch.tensor([0.3], dtype=torch.float64).log()
    high = bandpo.get_method(method).interval(logp_old, delta=delta).high.exp().item()
    assert high == pytest.approx(1.2, rel=1e-6)


def test_hand_computed():
    assert radius_of_ratio(0.5, 1.2, "tv") == pytest.approx(0.1)
    assert radius_of_ratio(0.5, 1.2, "chi2") == pytest.approx(0.04)
    assert radius_of_ratio(0.5, 1.2, "kl3") == pytest.approx(0.2 - math.log(1.2))
    assert clip_of_radius(0.5, 0.1, "tv") == pytest.approx((0.2, 0.2))


def test_a_ratio_no_policy_reaches_costs_infinitely_much():
    assert radius_of_ratio(0.9, 1.2, "tv") == math.inf


@pytest.mark.parametrize(("p", "ratio"), [(0.0, 1.2), (1.0, 1.2), (0.5, 0.0), (0.5, -1.0)])
def test_values_out_of_range_are_named(p, ratio):
    with pytest.raises(ValueError, match=rf"{p if not 0 < p < 1 else ratio}"):
        radius_of_ratio(p, ratio)
