"""Radii down to 1e-30: every bound against 50-digit roots, from p far below e^-44 to the last number before 1."""

import itertools
import math

import pytest
import torch

import bandpo
from benchmarks import oracle

from .helpers import ulp, underflows

FORMULAS = ("kl", "tv", "chi2", "neyman-chi2", "hellinger", "le-cam")
SEARCHED = ("reverse-kl", "js", "jeffreys", "alpha=1.5")
RADII = (1e-30, 3e-26, 1e-20, 7e-15, 3e-12, 1e-9)
LOGPS = (
    -103.0,
    -88.0,
    -70.0,
    -60.5,
    -50.0,
    -44.5,
    -30.0,
    -20.0,
    -3.0,
    -0.7,
    -0.01,
    -1e-7,
    -1e-12,
    -1e-20,
    -1e-30,
    -1e-37,
)
TARGET = {torch.float32: 8, torch.float64: 16}


def error(found, truth, x):
    """Distance in ulp, over what one ulp of the log-prob moves the truth by where that is more."""
    if underflows(truth, found.dtype):
        return 0.0 if found.exp() == 0 else math.inf
    step = max(ulp(truth.high, found.dtype), abs(truth.slope) * ulp(x.item(), found.dtype))
    return abs(found.double().item() - truth.high - truth.low) / step


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FORMULAS)
def test_bounds_by_formula_are_within_target_of_50_digit_roots(name, dtype):
    logp = torch.tensor(LOGPS, dtype=torch.float64).to(dtype)
    for radius in torch.tensor(RADII, dtype=torch.float64).to(dtype):
        for delta in (radius, radius.item()):
            for side, bound in zip((False, True), bandpo.band(logp, delta, name), strict=True):
                for x, found in zip(logp, bound, strict=True):
                    truth = oracle.bound(name, x.item(), radius.item(), side)
                    assert error(found, truth, x) <= TARGET[dtype], (x.item(), delta, found.item(), truth)


@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.parametrize("logp", [-95.0, -44.5, -3.0, -1e-4, -1e-12, -1e-20, -1e-30])
def test_searched_bounds_are_right_at_their_smallest_radius_and_next_to_p_1(name, logp):
    for delta, upward in itertools.product((1e-9, 1e-6, 0.05), (False, True)):
        found = bandpo.band(torch.tensor([logp], dtype=torch.float64), delta, name)[upward].item()
        truth = oracle.bound(name, logp, delta, upward)
        expected = -math.inf if truth.high < -745 else truth.high
        assert (found < -700) if expected == -math.inf else found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_half_precision_log_probs_and_radii_are_those_numbers_in_fp32(name):
    radii = torch.tensor(RADII).bfloat16().clamp_min(1.1e-30)
    logp = torch.tensor([-95.0, -46.0, -2.0, -1e-3, -1e-30, 0.0]).bfloat16()[:, None].expand(-1, len(RADII))
    for half, single in zip(
        bandpo.band(logp, radii, name), bandpo.band(logp.float(), radii.float(), name), strict=True
    ):
        assert torch.equal(half, single)
        assert not torch.isnan(half).any()


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_any_tensor_of_radii_orders_the_bounds_around_0_without_nan(name, dtype):
    generator = torch.Generator().manual_seed(0)
    logp = -torch.exp(torch.empty(20_000, dtype=torch.float64).uniform_(-90, 4.7, generator=generator)).to(dtype)
    radii = torch.exp(torch.empty(20_000, dtype=torch.float64).uniform_(-69, -7, generator=generator)).to(dtype)
    low, high = bandpo.band(logp, radii.clamp_min(1.1e-30), name)
    assert not (torch.isnan(low) | torch.isnan(high)).any()
    assert (low <= 0).all()
    assert (high >= 0).all()
    assert torch.isfinite(high).all()


def test_compiled_bounds_of_small_radii_are_the_eager_ones(compiled):
    logp, radii = torch.tensor(LOGPS)[:, None].expand(-1, len(RADII)), torch.tensor(RADII)
    for one, other in zip(bandpo.band(logp, radii), compiled(lambda x, d: bandpo.band(x, d))(logp, radii), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-38)


@pytest.mark.parametrize(
    ("name", "delta"),
    [("kl", 1e-31), ("kl", 5e-324), ("tv", 9e-31), ("js", 9e-10), ("alpha=1", 1e-12), ("jeffreys", 1e-20)],
)
def test_radii_too_small_to_be_right_are_refused_by_value(name, delta):
    smallest = bandpo.get_divergence(name).smallest_delta
    expected = rf"expected delta >= {smallest:g}, below which the bounds of this divergence lose their digits"
    with pytest.raises(ValueError, match=f"delta={delta!r}: {expected}"):
        bandpo.band(torch.tensor([-1.0]), delta, name)
    with pytest.raises(ValueError, match=f"delta holds {delta:g}: {expected}"):
        bandpo.band(torch.tensor([-1.0]), torch.tensor([delta], dtype=torch.float64), name)
    assert bandpo.band(torch.tensor([-1.0]), smallest, name).high > 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delta_low": 0.1},
        {"delta_high": 0.1},
        {"eps_high": 0.2},
        {"lower": "none"},
        {"upper": "mirror", "eps_low": 0.1},
    ],
)
def test_no_radius_where_one_is_needed_is_refused(options):
    with pytest.raises(TypeError, match="delta=None: expected a number or a tensor, or both delta_low and delta_high"):
        bandpo.band(torch.tensor([-1.0]), None, **options)  # type: ignore[arg-type]
    inputs = [torch.full((1, 2), -1.0)] * 2 + [torch.ones(1), torch.ones(1, 2)]
    with pytest.raises(TypeError, match="delta=None"):
        bandpo.policy_loss(*inputs, method="band-kl", delta=None, **options)


@pytest.mark.parametrize("options", [{"delta_low": 0.1, "delta_high": 0.1}, {"eps_low": 0.1, "upper": "none"}])
def test_no_radius_where_none_is_needed_is_fine(options):
    assert torch.isfinite(bandpo.band(torch.tensor([-1.0]), None, **options).low).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["kl", "tv", "chi2", "hellinger"])
def test_kernels_leave_radii_below_their_formulas_to_torch(name):
    assert bandpo.band_region(name, delta=1e-9).packed() is not None
    assert bandpo.band_region(name, delta=9e-10).packed() is None
    assert bandpo.band_region(name, delta_high=1e-12).packed() is None
