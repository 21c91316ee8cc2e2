"""Bounds of intervals are the core's; bounds of masks and penalties are where their gradient ends."""

import math

import pytest
import torch

import bandpo
from bandpo.views.bounds import bound_rows, method_bounds

P = torch.tensor([1e-4, 0.01, 0.1, 0.5, 0.9, 0.999], dtype=torch.float64)


def test_bounds_of_an_interval_are_its_own():
    expected = bandpo.band(P.log(), 0.02)
    assert all(map(torch.equal, method_bounds("band-kl", P.log(), delta=0.02), expected))


@pytest.mark.parametrize(("mask", "band"), [("dppo-tv", "band-tv"), ("dppo-kl", "band-kl")])
@pytest.mark.parametrize("delta", [0.01, 0.05, 0.3])
def test_a_binary_mask_ends_where_the_band_of_its_divergence_does(mask, band, delta):
    found, expected = (method_bounds(name, P.log(), delta=delta) for name in (mask, band))
    torch.testing.assert_close(found.ratio()[0], expected.ratio()[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.high, expected.high, rtol=1e-6, atol=1e-9)


def test_a_penalty_ends_where_its_gradient_turns():
    low, high = method_bounds("cfpo", P.log(), eps=0.3).ratio()
    torch.testing.assert_close(low, torch.full_like(P, 0.7))
    torch.testing.assert_close(high, (1 / P).clamp_max(1.3))
    low, high = method_bounds("drpo", P.log(), delta=0.05).ratio()
    torch.testing.assert_close(high * P, (P + 0.05).clamp_max(1.0))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cispo", "stops nowhere"),
        ("maspo", "stops nowhere"),
        ("drpo", "stops nowhere"),  # with the authors' δ = 12.5
        ("dppo-topk-tv", "topk_logp and topk_logp_rollout"),
        ("clip-cov", "the whole batch"),
        ("gspo", "the whole sequence"),
        ("quatro", "group_rewards"),
        ("entropy", "depends on entropy"),
    ],
)
def test_a_method_without_bounds_is_refused_with_the_reason(name, reason):
    with pytest.raises(ValueError, match=f"'{name}'.*{reason}"):
        method_bounds(name, P.log())


def test_every_method_has_bounds_or_a_reason():
    for name in bandpo.methods():
        try:
            low, high = method_bounds(name, P.log())
        except ValueError as error:
            assert repr(name) in str(error)
        else:
            assert (low <= 0).all() and (high >= 0).all()


def test_a_row_is_ratio_probability_and_change():
    (row,) = bound_rows("grpo", [0.9], eps_high=0.5)
    assert row.ratio == pytest.approx((0.8, 1.5)) and row.probability == pytest.approx((0.72, 1.0))
    assert row.change == pytest.approx((-0.18, 0.1))
    (row,) = bound_rows("no-clip", [0.25])
    assert row.ratio == (0, math.inf) and row.probability == (0, 1) and row.change == (-0.25, 0.75)


def test_an_option_changes_the_bounds_and_an_unknown_one_is_refused():
    assert bound_rows("dppo-tv", [0.5], delta_high=0.3)[0].change == pytest.approx((-0.15, 0.3))
    assert bound_rows("flex-entropy", [0.1], progress=0.9) != bound_rows("flex-entropy", [0.1])
    with pytest.raises(TypeError, match="nope"):
        bound_rows("dppo-tv", [0.5], nope=1)
