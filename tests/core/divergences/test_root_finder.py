import math

import pytest
import torch

import bandpo
from bandpo.core.divergences.root_finder import root_bound
from benchmarks import oracle

from ..helpers import logps

mp = oracle.mp
# Flat at 1, flat around 1, linear tails, exponential growth: f and its 120-digit twin.
ADVERSARIAL = {
    "quartic": (lambda u: (u - 1) ** 4, lambda u: (u - 1) ** 4),
    "dead-zone hinge": (lambda u: ((u - 1).abs() - 0.2).clamp_min(0), lambda u: max(abs(u - 1) - mp.mpf("0.2"), 0)),
    "huber": (
        lambda u: torch.where((u - 1).abs() < 0.1, (u - 1) ** 2 / 2, 0.1 * ((u - 1).abs() - 0.05)),
        lambda u: (u - 1) ** 2 / 2 if abs(u - 1) < mp.mpf("0.1") else mp.mpf("0.1") * (abs(u - 1) - mp.mpf("0.05")),
    ),
    "exponential": (lambda u: torch.exp(u - 1) - u, lambda u: mp.exp(u - 1) - u),
    "logarithm without its linear part": (lambda u: -torch.log(u), lambda u: -mp.log(u)),
}


def exact_root(f, logp, delta, upward):
    """Plain bisection of the definition in log r, in 60 digits."""
    p, w = mp.exp(logp), -mp.expm1(logp)

    def outside(log_ratio):
        r = mp.exp(log_ratio)
        return p * r >= 1 or p * f(r) + w * f((1 - p * r) / w) > delta

    inner, outer = mp.mpf(0), -mp.mpf(logp) if upward else mp.mpf(-600)
    for _ in range(70):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if outside(middle) else (middle, outer)
    return float(inner)


@pytest.mark.parametrize("delta", [1e-6, 0.05, 0.3])
@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_generators_are_solved_to_1e_6(name, upward, delta):
    f, exact = ADVERSARIAL[name]
    logp = logps(torch.float64, [-9.0, -3.0, -0.7, -0.2154434621334076, -0.1, -1e-4])
    for x, found in zip(logp.tolist(), root_bound(f, logp, delta, upward).tolist(), strict=True):
        truth = exact_root(exact, x, delta, upward)
        assert found == pytest.approx(truth, rel=1e-6) or (found == -math.inf and truth < -590), (x, found, truth)


@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("name", ["reverse-kl", "js", "jeffreys", "alpha=1.5", "alpha=-0.5", "alpha=3"])
def test_searched_divergences_are_within_1e_9_of_50_digit_roots(name, upward):
    divergence, logp = bandpo.get_divergence(name), logps(torch.float64)
    for delta in (1e-6, 0.05, 0.6):
        bound = divergence.upper(logp, delta) if upward else divergence.lower(logp, delta)
        for x, found in zip(logp.tolist(), bound.tolist(), strict=True):
            truth = oracle.bound(name, x, delta, upward)
            assert found == pytest.approx(truth.high, rel=1e-9) or (truth.high < -708 and found == -math.inf)


@pytest.mark.parametrize("logp", [-1e-9, -1e-12, -1e-17, 0.0])
def test_near_certain_tokens_do_not_saturate_below(logp):
    divergence = bandpo.get_divergence("chi2")
    x = torch.tensor([logp], dtype=torch.float64)
    searched = root_bound(divergence.f, x.clamp_max(-1e-18), 0.05, upward=False)
    torch.testing.assert_close(searched, divergence.lower(x.clamp_max(-1e-18), 0.05), rtol=1e-6, atol=0)
    assert torch.isfinite(bandpo.get_divergence("reverse-kl").lower(x, 0.05)).all()


def test_ratios_near_the_smallest_double_are_found():
    logp = math.log(0.05 / 738)
    found = bandpo.get_divergence("jeffreys").lower(torch.tensor([logp], dtype=torch.float64), 0.05).item()
    truth = oracle.bound("jeffreys", logp, 0.05, upward=False).high
    assert -745 < truth < -700
    assert found == pytest.approx(truth, rel=1e-6)


def test_ends_of_the_simplex_within_reach_are_returned_exactly():
    logp = torch.tensor([0.01, 0.99], dtype=torch.float64).log()
    f = bandpo.get_divergence("tv").f
    assert root_bound(f, logp, 0.05, upward=False)[0] == -math.inf
    assert root_bound(f, logp, 0.05, upward=True)[1] == -logp[1]


def test_a_tensor_of_radii_and_fp32_log_probs_are_taken():
    f = bandpo.get_divergence("js").f
    logp, deltas = logps(torch.float32)[:, None], torch.tensor([1e-6, 0.05, 0.6])
    together = root_bound(f, logp, deltas, upward=True)
    assert together.dtype == torch.float32
    for column, delta in enumerate(deltas.tolist()):
        alone = root_bound(f, logp[:, 0].double(), delta, upward=True)
        torch.testing.assert_close(together[:, column].double(), alone, rtol=1e-7, atol=0)


def test_nan_log_probs_give_nan():
    assert torch.isnan(root_bound(bandpo.get_divergence("js").f, torch.tensor([math.nan]), 0.05, upward=True)).all()
