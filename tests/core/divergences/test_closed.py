import math

import pytest
import torch

import bandpo
from benchmarks import oracle

from ..helpers import REFERENCE, logps, ulp, ulp_error, underflows

CLOSED = ("tv", "chi2", "neyman-chi2", "hellinger", "le-cam")
# Old probability from which the lower ratio may be 0, and from which the new probability may be 1, at δ = 0.05.
FLOORS = {"tv": 0.05, "chi2": 0.05 / 1.05, "hellinger": 0.025 * 1.975, "le-cam": 0.1 / 2.05}
FLOOR_OF = {
    "tv": lambda delta: delta,
    "chi2": lambda delta: delta / (1 + delta),
    "hellinger": lambda delta: delta / 2 * (2 - delta / 2),
    "le-cam": lambda delta: 2 * delta / (2 + delta),
}
CEILINGS = {"tv": 0.95, "chi2": 1 / 1.05, "hellinger": 0.975**2, "le-cam": 1.95 / 2.05}


def rounding_of_input(truth, logp):
    """How many ulp of log r one ulp of log p is worth, at least 1."""
    return max(1.0, abs(truth.slope) * ulp(logp.item(), logp.dtype) / ulp(truth.high, logp.dtype))


def bound(name, upward):
    divergence = bandpo.get_divergence(name)
    return divergence.upper if upward else divergence.lower


@pytest.mark.parametrize("delta", [1e-6, 0.05, 0.9])
@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CLOSED)
def test_bounds_are_within_five_ulp_of_50_digit_roots(name, dtype, upward, delta):
    logp = logps(dtype)
    for x, found in zip(logp, bound(name, upward)(logp, delta), strict=True):
        truth = oracle.bound(name, x.item(), delta, upward)
        assert underflows(truth, dtype) or ulp_error(found, truth) <= 5, (x.item(), found.item(), truth)


def in_fp32(delta):
    """A radius that is exact in fp32, so that a tensor of it is the same."""
    return torch.tensor(delta).item()


# Tracing takes a second, whatever the radius.
DELTA_COMPILED = in_fp32(0.05)
NEXT_TO_THE_FLOOR = {torch.float32: (1e-5, 1e-4, 1e-3, 1e-2), torch.float64: (1e-14, 1e-12, 1e-9, 1e-5, 1e-2)}


@pytest.mark.parametrize("delta", [*map(in_fp32, (1e-6, 1e-3, 0.3, 0.9)), DELTA_COMPILED])
@pytest.mark.parametrize("dtype", NEXT_TO_THE_FLOOR)
@pytest.mark.parametrize("name", FLOORS)
def test_next_to_the_floor_no_digit_is_lost(name, dtype, delta):
    floor = FLOOR_OF[name](delta)
    logp = (math.log(floor) + torch.tensor(NEXT_TO_THE_FLOOR[dtype], dtype=torch.float64)).to(dtype)
    logp = logp[logp.double() > math.log(floor) * (1 - 1e-7 if dtype == torch.float32 else 1)]
    forms = [bound(name, upward=False)(logp, delta)]
    if delta == DELTA_COMPILED:
        torch._dynamo.reset()
        lower = torch.compile(lambda x: bandpo.band(x, delta, name, check=False).low, fullgraph=True, backend="eager")
        forms.append(lower(logp))
    if dtype == torch.float32:
        forms.append(bound(name, upward=False)(logp, torch.tensor(delta)))
    for i, x in enumerate(logp.tolist()):
        truth = oracle.bound(name, x, delta, upward=False)
        for found in forms:
            assert ulp_error(found[i], truth) <= 5


@pytest.mark.parametrize("name", FLOORS)
def test_next_to_the_floor_a_tensor_of_radii_in_fp64_loses_what_its_input_rounds_away(name):
    offsets = torch.tensor([1e-9, 1e-5, 1e-4, 1e-3, 1e-2, 0.1], dtype=torch.float64)
    logp, delta = math.log(FLOORS[name]) + offsets, torch.tensor(0.05, dtype=torch.float64)
    for x, found in zip(logp, bound(name, upward=False)(logp, delta), strict=True):
        truth = oracle.bound(name, x.item(), 0.05, upward=False)
        assert ulp_error(found, truth) <= 5 * rounding_of_input(truth, x)


@pytest.mark.parametrize("name", FLOORS)
def test_ratio_zero_is_allowed_exactly_up_to_the_floor(name):
    logp = torch.tensor([FLOORS[name] * (1 - 1e-6), FLOORS[name] * (1 + 1e-6)], dtype=torch.float64).log()
    assert torch.isinf(bound(name, upward=False)(logp, 0.05)).tolist() == [True, False]


@pytest.mark.parametrize("name", CEILINGS)
def test_probability_one_is_allowed_exactly_from_the_ceiling(name):
    logp = torch.tensor([CEILINGS[name] * (1 - 1e-6), CEILINGS[name] * (1 + 1e-6)], dtype=torch.float64).log()
    assert (bound(name, upward=True)(logp, 0.05) == -logp).tolist() == [False, True]


def test_neyman_never_saturates():
    logp = torch.tensor([-100.0, -1e-3], dtype=torch.float64)
    assert torch.isfinite(bound("neyman-chi2", upward=False)(logp, 0.05)).all()
    assert (bound("neyman-chi2", upward=True)(logp, 0.05) < -logp).all()


@pytest.mark.parametrize("row", REFERENCE)
def test_tv_and_chi2_match_the_reference_table(row):
    logp = torch.tensor([row[0]], dtype=torch.float64).log()
    found = [bound(name, up)(logp, 0.05).exp().item() for name in ("tv", "chi2") for up in (False, True)]
    assert found == pytest.approx(row[3:], rel=2e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_a_tensor_of_radii_gives_what_each_number_gives(name):
    logp, deltas = logps(torch.float64)[:, None], torch.tensor([1e-6, 0.05, 0.9], dtype=torch.float64)
    for upward in (False, True):
        together = bound(name, upward)(logp, deltas)
        for column, delta in enumerate(deltas.tolist()):
            torch.testing.assert_close(together[:, column], bound(name, upward)(logp[:, 0], delta), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", CLOSED)
def test_probabilities_below_fp32_follow_the_asymptote(name):
    logp = torch.tensor([-61.0, -95.0, -200.0, -1e5])
    single, double = bound(name, True)(logp, 0.05), bound(name, True)(logp.double(), 0.05)
    torch.testing.assert_close(single.double(), double, rtol=3e-7, atol=0)
