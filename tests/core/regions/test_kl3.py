import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import lambertw

import bandpo
from benchmarks import oracle

mp = oracle.mp
RADII = (1e-12, 1e-6, 1e-3, 0.01, 0.05, 0.1, 0.25, 1.0, 5.0, 19.9)


def bounds(delta, dtype=torch.float64):
    interval = bandpo.kl3_interval(torch.tensor([-1.0], dtype=dtype), delta)
    return [x.item() for x in interval]


@pytest.mark.parametrize("delta", RADII)
def test_bounds_are_the_two_branches_of_lamberts_function(delta):
    z = -mp.exp(-(1 + mp.mpf(delta)))
    for found, branch in zip(bounds(delta), (0, -1), strict=True):
        assert found == pytest.approx(float(mp.log(mp.re(-mp.lambertw(z, branch)))), rel=4e-16)


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.5, 3.0])
def test_bounds_agree_with_scipy(delta):
    z = -np.exp(-(1 + delta))
    expected = [float(np.real(-lambertw(z, branch))) for branch in (0, -1)]
    assert [math.exp(x) for x in bounds(delta)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("delta", RADII)
def test_both_bounds_lie_on_the_constraint(delta):
    low, high = bounds(delta)
    assert low < 0 < high
    for d in (low, high):
        assert float(mp.expm1(mp.mpf(d)) - mp.mpf(d)) == pytest.approx(delta, rel=1e-14)


# Reference bounds by hand: -W_0 and -W_-1 of -e^-(1 + δ), six digits.
@pytest.mark.parametrize(
    ("delta", "low", "high"),
    [(0.01, 0.865165, 1.148165), (0.02, 0.813105, 1.213550), (0.05, 0.716189, 1.350403), (0.1, 0.616817, 1.516221)],
)
def test_published_radii_give_the_known_ratios(delta, low, high):
    assert [math.exp(x) for x in bounds(delta)] == pytest.approx([low, high], abs=6e-7)


def test_the_region_is_wider_above_than_below_and_grows_with_delta():
    widths = [bounds(delta) for delta in RADII]
    assert all(math.expm1(high) > -math.expm1(low) for low, high in widths)
    assert all(b[0] < a[0] and b[1] > a[1] for a, b in itertools.pairwise(widths))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_token_has_the_same_bounds_in_the_dtype_computed_in(dtype):
    logp = torch.tensor([[-1e-7, -0.5], [-20.0, -100.0]]).to(dtype)
    interval = bandpo.kl3_interval(logp, 0.05)
    for found, expected in zip(interval, bounds(0.05), strict=True):
        assert found.shape == logp.shape
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(found, torch.full_like(found, expected))


@pytest.mark.parametrize("delta", [0.0, -0.1, 20.0, math.nan, math.inf])
def test_a_radius_out_of_range_is_refused(delta):
    with pytest.raises(ValueError, match="expected 0 < delta < 20"):
        bandpo.kl3_interval(torch.tensor([-1.0]), delta)
