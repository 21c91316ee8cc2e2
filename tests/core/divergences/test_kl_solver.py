import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bandpo.core.divergences.kl_solver import kl_lower, kl_upper
from benchmarks import oracle

from ..helpers import REFERENCE, logps, ulp_error, underflows

TARGET = {torch.float32: 8, torch.float64: 16}
SIDES = {"lower": (kl_lower, False), "upper": (kl_upper, True)}


@pytest.mark.parametrize("delta", [1e-6, 0.05, 1.0, 5.0])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", TARGET)
def test_bounds_are_within_target_of_50_digit_roots(dtype, side, delta):
    function, upward = SIDES[side]
    logp = logps(dtype)
    for x, found in zip(logp, function(logp, delta), strict=True):
        truth = oracle.bound("kl", x.item(), delta, upward)
        if underflows(truth, dtype):
            assert found.exp() == 0
        else:
            assert ulp_error(found, truth) <= TARGET[dtype], (x.item(), found.item(), truth)


@settings(max_examples=60, deadline=None)
@given(
    logit=st.floats(-60, 30),
    log_delta=st.floats(math.log(1e-7), math.log(19.9)),
    upward=st.booleans(),
    dtype=st.sampled_from(list(TARGET)),
)
def test_any_probability_and_radius_is_within_target(logit, log_delta, upward, dtype):
    logp = -torch.nn.functional.softplus(torch.tensor([-logit], dtype=torch.float64)).to(dtype)
    delta = math.exp(log_delta)
    truth = oracle.bound("kl", logp.item(), delta, upward)
    found = (kl_upper if upward else kl_lower)(logp, delta)[0]
    assert (underflows(truth, dtype) and found.exp() == 0) or ulp_error(found, truth) <= TARGET[dtype]


@pytest.mark.parametrize(("p", "low", "high"), [row[:3] for row in REFERENCE])
def test_bounds_match_the_reference_table(p, low, high):
    logp = torch.tensor([p], dtype=torch.float64).log()
    assert kl_lower(logp, 0.05).exp().item() == pytest.approx(low, rel=1e-5 if low > 1e-200 else 0.05)
    assert kl_upper(logp, 0.05).exp().item() == pytest.approx(high, rel=1e-6)


def test_rare_tokens_may_reach_one_minus_exp_minus_delta():
    logp = torch.tensor([-45.0, -51.0, -300.0, -1e6], dtype=torch.float64)
    reached = logp + kl_upper(logp, 0.05)
    torch.testing.assert_close(reached, torch.full_like(logp, math.log(-math.expm1(-0.05))), rtol=1e-9, atol=0)


def test_certain_tokens_are_held_by_the_simplex_above_and_by_exp_minus_delta_below():
    logp = torch.tensor([-1e-30, -1e-15, 0.0], dtype=torch.float64)
    torch.testing.assert_close(kl_upper(logp, 0.05), -logp, rtol=1e-15, atol=0)
    torch.testing.assert_close(kl_lower(logp, 0.05), torch.full_like(logp, -0.05), rtol=1e-12, atol=0)


@pytest.mark.parametrize("logp", [-1e-19, -1e-40, -1e-59])
def test_lower_bound_of_near_certain_tokens_is_right_in_fp64(logp):
    found = kl_lower(torch.tensor([logp], dtype=torch.float64), 1e-6)[0]
    assert ulp_error(found, oracle.bound("kl", logp, 1e-6, upward=False)) <= 16


def test_lower_ratio_of_vanishing_tokens_is_zero():
    assert kl_lower(torch.tensor([-60.0, -1e4, -math.inf]), 1e-6).exp().tolist() == [0.0, 0.0, 0.0]


def test_a_tensor_of_radii_gives_what_each_number_gives():
    logp, deltas = logps(torch.float64)[:, None], torch.tensor([1e-6, 0.05, 1.0, 19.0], dtype=torch.float64)
    for function, _ in SIDES.values():
        together = function(logp, deltas)
        for column, delta in enumerate(deltas.tolist()):
            torch.testing.assert_close(together[:, column], function(logp[:, 0], delta), rtol=1e-14, atol=0)


@pytest.mark.parametrize("delta", [1e-7, 19.9])
def test_extreme_radii_stay_finite_and_ordered(delta):
    logp = -torch.logspace(-12, 2, 500)
    low, high = kl_lower(logp, delta), kl_upper(logp, delta)
    assert (torch.isfinite(low) & torch.isfinite(high) & (low < 0) & (high > 0) & (high <= -logp)).all()
