"""Every kind of side: its bound against the operator, its decision against its bound, its numbers, its refusals."""

import math

import pytest
import torch

import bandpo
from bandpo.core.regions.packed import FIXED, KL, MIRRORED, PER_TOKEN

KL_DIVERGENCE = bandpo.get_divergence("kl")
LOGP = torch.tensor([1e-6, 0.01, 0.3, 0.5, 0.9, 0.999], dtype=torch.float64).log()
SIDES = [bandpo.Open(), bandpo.Fixed(0.2), bandpo.Within(0.05), bandpo.Mirrored(0.05)]


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("side", SIDES, ids=str)
def test_a_token_is_outside_exactly_beyond_the_bound(side, upper):
    bound = side.bound(LOGP, KL_DIVERGENCE, upper=upper)
    sign = 1 if upper else -1
    for step, expected in ((1e-6, True), (-1e-6, False)):
        d = bound + sign * step * (1 + bound.abs())
        outside = side.outside(d, LOGP, KL_DIVERGENCE, upper=upper)
        finite = torch.isfinite(bound) & (d <= -LOGP)
        assert (outside[finite] == expected).all()
    assert not side.outside(torch.zeros_like(LOGP), LOGP, KL_DIVERGENCE, upper=upper).any()


def test_bounds_by_hand():
    assert bandpo.Open().bound(LOGP, None, upper=False).tolist() == [-math.inf] * 6
    assert bandpo.Fixed(0.2).bound(LOGP, None, upper=False).tolist() == [math.log1p(-0.2)] * 6
    half = torch.tensor([0.5], dtype=torch.float64).log()
    # KL(Bern ½ || Bern q) = -½ log(4 q (1 - q)) = δ at q = ½ (1 ± √(1 - e^(-2δ))).
    q = 0.5 * (1 + math.sqrt(1 - math.exp(-0.1)))
    assert bandpo.Within(0.05).bound(half, KL_DIVERGENCE, upper=True).exp().item() == pytest.approx(2 * q, rel=1e-14)
    # At p = ½ the complement is the token's like: r >= 1/U(½).
    mirrored = bandpo.Mirrored(0.05).bound(half, KL_DIVERGENCE, upper=False)
    assert mirrored.exp().item() == pytest.approx(1 / (2 * q), rel=1e-14)


def test_numbers_for_a_kernel():
    assert bandpo.Fixed(0.2).packed(None, upper=True) == (FIXED, math.log1p(0.2))
    assert bandpo.Open().packed(None, upper=False) == (FIXED, -math.inf)
    assert bandpo.Within(0.05).packed(KL_DIVERGENCE, upper=True) == (KL, 0.05)
    assert bandpo.Within(torch.tensor(0.05)).packed(KL_DIVERGENCE, upper=True) == (KL | PER_TOKEN, 0.0)
    assert bandpo.Within(0.05).packed(bandpo.get_divergence("js"), upper=True) is None
    assert bandpo.Within(1e-12).packed(KL_DIVERGENCE, upper=True) is None
    assert bandpo.Mirrored(0.05).packed(KL_DIVERGENCE, upper=True) == (KL | MIRRORED, 0.05)
    assert bandpo.Mirrored(torch.tensor(0.05)).packed(KL_DIVERGENCE, upper=False) == (KL | PER_TOKEN | MIRRORED, 0.0)
    assert bandpo.Mirrored(0.05).packed(bandpo.get_divergence("le-cam"), upper=False) is None


@pytest.mark.parametrize(
    ("side", "upper", "said"),
    [
        (bandpo.Fixed(1.0), False, r"eps_low=1\.0: expected 0 <= eps_low < 1"),
        (bandpo.Fixed(-0.1), True, r"eps_high=-0\.1: expected 0 <= eps_high < inf"),
        (bandpo.Within(0.0, "delta_low"), False, r"delta_low=0\.0: expected 0 < delta_low < 20"),
        (bandpo.Mirrored(25.0), True, r"delta=25\.0: expected 0 < delta < 20"),
    ],
)
def test_a_number_out_of_range_is_refused_by_its_option(side, upper, said):
    region = bandpo.Band(
        divergence=KL_DIVERGENCE, **{"low": bandpo.Open(), "high": bandpo.Open()} | {"high" if upper else "low": side}
    )
    with pytest.raises(ValueError, match=said):
        region.interval(LOGP)


def test_the_sides_of_one_are_not_equal_to_those_of_another():
    assert bandpo.Within(0.05) != bandpo.Mirrored(0.05) and bandpo.Within(0.05) == bandpo.Within(0.05)
    assert hash(bandpo.Fixed(0.2)) == hash(bandpo.Fixed(0.2))
