import math

import pytest
import torch

import bandpo
from bandpo.core.divergences.moved import log_complement_ratio, probability_change
from benchmarks import oracle

from ..helpers import logps, underflows

mp = oracle.mp
NAMES = tuple(name for name in oracle.GENERATORS if name not in ("alpha=-0.5", "alpha=3"))
LOGPS = (-100.0, -60.5, -20.0, -9.0, -3.0, -1.0, -0.7, -0.1, -0.01, -1e-4, -1e-7, -1e-12)
# How far a token has moved, as a share of the way to q = 1 (above) or as a log-ratio (below).
SHARES, DROPS = (0.999, 0.5, 1e-3, 1e-9), (-50.0, -5.0, -0.7, -1e-3, -1e-9)


def truth(name, logp, log_ratio):
    p, r = mp.exp(mp.mpf(logp)), mp.exp(mp.mpf(log_ratio))
    w = -mp.expm1(mp.mpf(logp))
    c = 1 - p * mp.expm1(mp.mpf(log_ratio)) / w
    f = oracle.GENERATORS[name]
    return p * f.f(r) + w * (f.f(c) if c > 0 else f.at_zero)


def moves(logp):
    """Log-ratios of both sides for one log-prob, from hardly any to nearly all of the way."""
    yield from DROPS
    yield from (share * -logp for share in SHARES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_g_equals_the_definition_in_mpmath_on_both_sides(name, dtype):
    """fp64 to 1e-11, fp32 to 1e-4; a user's f is a difference of near-equal numbers where hardly anything moved, so
    there only to the 1e-15 that f itself is exact to."""
    has_formula = name in ("kl", "tv")
    for logp in LOGPS:
        pairs = [torch.tensor([x], dtype=torch.float64).to(dtype) for x in moves(logp)]
        for log_ratio in pairs:
            old = torch.tensor([logp], dtype=torch.float64).to(dtype)
            exact = truth(name, old.item(), log_ratio.item())
            if exact > torch.finfo(dtype).max:
                continue
            found = bandpo.projected_divergence(old, log_ratio, name)
            assert found.dtype == dtype
            # A share of 1 - q is known to rounding of log q only.
            left = -math.expm1(min(old.item() + log_ratio.item(), -1e-300))
            rounding = torch.finfo(dtype).eps * (1 + abs(old.item()) + abs(log_ratio.item())) / min(left, 1)
            tolerance = 4 * rounding + (1e-11 if dtype == torch.float64 else 1e-5)
            floor = 1e-40 if has_formula else 2e-15 if dtype == torch.float64 else 2e-12
            assert abs(float(found.item() - exact)) <= tolerance * float(exact) + floor, (logp, log_ratio.item())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("delta", [0.01, 0.05, 0.3])
def test_at_the_bounds_of_the_band_g_is_the_radius(name, delta):
    logp = logps(torch.float64)[4:]
    interval, compared = bandpo.band(logp, delta, name), 0
    for upward, bound in ((False, interval.low), (True, interval.high)):
        found = bandpo.projected_divergence(logp, bound, name)
        for position, value in enumerate(logp.tolist()):
            exact = oracle.bound(name, value, delta, upward)
            if exact.saturated:
                assert found[position] <= delta * (1 + 1e-9)
            # Next to q = 0 and q = 1 the bound itself keeps too few digits.
            elif not underflows(exact, torch.float64) and not (upward and value + exact.high > -1e-6):
                assert found[position].item() == pytest.approx(delta, rel=1e-6), (value, upward)
                compared += 1
    assert compared >= 6


@pytest.mark.parametrize("name", NAMES)
def test_g_is_zero_without_a_move_and_grows_with_it(name):
    logp = torch.full((9,), -1.5, dtype=torch.float64)
    for log_ratio in (torch.linspace(0, 1.49, 9).double(), -torch.linspace(0, 5, 9).double()):
        found = bandpo.projected_divergence(logp, log_ratio, name)
        assert found[0].item() == pytest.approx(0, abs=1e-16)
        assert (found.diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", NAMES)
def test_a_token_that_reached_probability_one_is_as_far_as_f_of_zero_says(name, dtype):
    """g = p f(1/p) + (1 - p) f(0), infinite for the KL family."""
    for p in (0.5, 0.9, 1e-3):
        logp = torch.tensor([math.log(p)], dtype=dtype)
        found = bandpo.projected_divergence(logp, -logp, name).item()
        generator = oracle.GENERATORS[name]
        expected = p * generator.f(1 / mp.mpf(p)) + (1 - mp.mpf(p)) * generator.at_zero
        assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_no_finite_move_gives_nan(dtype):
    grid = torch.tensor([0.0, -1e-30, -1e-7, -0.5, -20.0, -89.0, -100.0, -300.0], dtype=dtype)
    old, new = (x.reshape(-1) for x in torch.meshgrid(grid, grid, indexing="ij"))
    for name in NAMES:
        assert not torch.isnan(bandpo.projected_divergence(old, new - old, name)).any()


def test_a_rare_token_that_became_likely_has_moved_all_the_way():
    """From e^-100 to e^-1, where e^99 overflows fp32."""
    logp, log_ratio = torch.tensor([-100.0]), torch.tensor([99.0])
    assert probability_change(logp, log_ratio).item() == pytest.approx(math.exp(-1), rel=1e-6)
    assert bandpo.projected_divergence(logp, log_ratio, "tv").item() == pytest.approx(math.exp(-1), rel=1e-6)
    expected = float(truth("kl", -100.0, 99.0))
    assert bandpo.projected_divergence(logp, log_ratio, "kl").item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_ratio_of_all_other_tokens_is_exact(dtype):
    for logp in LOGPS[:-1]:
        for log_ratio in moves(logp):
            old, d = (torch.tensor([x], dtype=torch.float64).to(dtype) for x in (logp, log_ratio))
            q = old.item() + d.item()
            exact = mp.log(-mp.expm1(mp.mpf(old.item()) + mp.mpf(d.item())) / -mp.expm1(mp.mpf(old.item())))
            known = torch.finfo(dtype).eps * (1 + abs(old.item()) + abs(d.item()))
            absolute = 8 * known * math.exp(q) / -math.expm1(q)
            found = log_complement_ratio(old, d).item()
            assert abs(float(found - exact)) <= absolute + 16 * torch.finfo(dtype).eps * abs(float(exact)) + 1e-44


def test_an_unknown_divergence_is_refused():
    with pytest.raises(ValueError, match="divergence='kk': expected one of kl, "):
        bandpo.projected_divergence(torch.tensor([-1.0]), torch.tensor([0.1]), "kk")
