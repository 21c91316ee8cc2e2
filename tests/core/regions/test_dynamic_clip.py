import math

import pytest
import torch

import bandpo
from benchmarks import oracle
from tests.core.helpers import logps

mp = oracle.mp
EPSILONS = ((0.16, 0.2), (0.2, 0.28), (0.0, 0.0), (1e-9, 1e-9), (0.02, 3.0))


def truth(logp, eps_low, eps_high, max_ratio=10.0):
    """log of ½ + ½ √max(1 - 4 ε_low/p, 0) and of min(½ + ½ √(1 + 4 ε_high/p), max_ratio), in mpmath."""
    p, half = mp.exp(mp.mpf(logp)), mp.mpf(1) / 2
    low = half + half * mp.sqrt(max(1 - 4 * mp.mpf(eps_low) / p, mp.mpf(0)))
    high = min(half + half * mp.sqrt(1 + 4 * mp.mpf(eps_high) / p), mp.mpf(max_ratio))
    return float(mp.log(low)), float(mp.log(high))


@pytest.mark.parametrize(("eps_low", "eps_high"), EPSILONS)
@pytest.mark.parametrize(("dtype", "rel"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_bounds_equal_the_formula_to_rounding(eps_low, eps_high, dtype, rel):
    logp = logps(dtype)
    interval = bandpo.dynamic_clip_interval(logp, eps_low, eps_high)
    for position, value in enumerate(logp.double().tolist()):
        for found, expected in zip(interval, truth(value, eps_low, eps_high), strict=True):
            assert found[position].item() == pytest.approx(expected, rel=rel)


@pytest.mark.parametrize("p", [0.7, 0.9, 0.999])
def test_both_bounds_lie_on_the_constraint(p):
    """|(r - 1) r p| = ε, with r p the new probability."""
    low, high = bandpo.dynamic_clip_interval(torch.tensor([math.log(p)], dtype=torch.float64)).ratio()
    assert ((1 - low) * low * p).item() == pytest.approx(0.16, rel=1e-12)
    assert ((high - 1) * high * p).item() == pytest.approx(0.2, rel=1e-12)


def test_rare_tokens_have_bounds_of_one_half_and_the_cap():
    logp = torch.tensor([0.64, 0.1, 1e-3, 1e-30, 1e-43], dtype=torch.float64).log()
    for x in (logp, logp.float()):
        low, high = bandpo.dynamic_clip_interval(x, max_ratio=7.0).ratio()
        torch.testing.assert_close(low, torch.full_like(low, 0.5))
        torch.testing.assert_close(high[2:], torch.full_like(high[2:], 7.0))
        assert (high[:2] < 7).all()


def test_wide_bounds_at_the_authors_defaults():
    low, high = bandpo.get_method("dcpo").interval(torch.tensor([0.05, 0.8], dtype=torch.float64).log()).ratio()
    assert low.tolist() == pytest.approx([0.5, 0.7236067977], rel=1e-9)
    assert high.tolist() == pytest.approx([2.5615528128, 1.2071067812], rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps_low": -0.1}, "eps_low=-0.1: expected 0 <= eps_low < inf"),
        ({"eps_high": math.nan}, "eps_high=nan: expected 0 <= eps_high < inf"),
        ({"max_ratio": 1.0}, "max_ratio=1.0: expected 1 < max_ratio < inf"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bandpo.dynamic_clip_interval(torch.tensor([-1.0]), **options)
