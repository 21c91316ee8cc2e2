"""Regions as objects: what `band` returns, what a formula returns, and what they refuse."""

import pytest
import torch

import bandpo
from bandpo.core.regions.dispatch import has_triton

LOGP = torch.tensor([0.001, 0.2, 0.7]).log()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delta_low": 0.2},
        {"lower": "mirror"},
        {"upper": "none"},
        {"eps_low": 0.1, "max_ratio": 3.0},
        {"relax": [0.2, 0.2]},
    ],
    ids=str,
)
def test_a_region_has_the_bounds_of_band(options):
    region = bandpo.band_region("kl", **options)
    for interval in (region.interval(LOGP), region.interval(LOGP, kernel="torch")):
        assert all(map(torch.equal, interval, bandpo.band(LOGP, **options)))


def test_a_formula_is_a_region_of_a_method_of_ones_own():
    def formula(logp):
        return bandpo.Interval(torch.full_like(logp, -0.1), -0.5 * logp)

    region = bandpo.Formula(formula=formula, dual_clip=3.0)
    low, high = region.interval(LOGP.bfloat16())
    assert low.dtype == torch.float32 and torch.equal(high, -0.5 * LOGP.bfloat16().float())
    assert region.packed() is None and region.dual_clip == 3.0
    reason = "Formula" if has_triton() else "torch .*: expected Triton"
    with pytest.raises(ValueError, match=f"kernel='triton' with {reason}"):
        region.interval(LOGP, kernel="triton")


def test_bounds_carry_no_gradient():
    logp = LOGP.clone().requires_grad_()
    assert not any(bound.requires_grad for bound in bandpo.band_region("js").interval(logp))


def test_a_base_region_has_no_bounds():
    with pytest.raises(NotImplementedError):
        bandpo.Region().interval(LOGP)
