import math

import numpy as np
import pytest
import torch

import bandpo

LOGP = torch.tensor([-1.0, -0.5, -3.0, -2.0], dtype=torch.float64)
REF = torch.tensor([-1.5, -0.4, -1.0, -2.0], dtype=torch.float64)


def by_hand(estimator, logp, ref):
    d = ref - logp
    return {"k1": -d, "k2": d * d / 2, "k3": math.exp(d) - 1 - d}[estimator]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_estimators_follow_their_formula(estimator):
    expected = [by_hand(estimator, *pair) for pair in zip(LOGP.tolist(), REF.tolist(), strict=True)]
    assert bandpo.reference_kl(LOGP, REF, estimator).tolist() == pytest.approx(expected, rel=1e-12)


def test_k3_is_the_default():
    assert torch.equal(bandpo.reference_kl(LOGP, REF), bandpo.reference_kl(LOGP, REF, "k3"))


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_the_expectation_of_unbiased_estimators_is_the_divergence(estimator):
    new, ref = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.2, 0.3, 0.5]).double()
    estimate = (new * bandpo.reference_kl(new.log(), ref.log(), estimator)).sum()
    assert estimate.item() == pytest.approx((new * (new / ref).log()).sum().item())


@pytest.mark.parametrize(
    ("estimator", "slope"), [("k1", lambda d: 1.0), ("k2", lambda d: -d), ("k3", lambda d: 1 - math.exp(d))]
)
def test_gradients_follow_theory(estimator, slope):
    logp = LOGP.clone().requires_grad_()
    bandpo.reference_kl(logp, REF, estimator).sum().backward()
    assert logp.grad.tolist() == pytest.approx([slope(d) for d in (REF - LOGP).tolist()])


def test_k3_of_a_policy_that_forgot_a_token_is_large_but_finite():
    logp = torch.tensor([-500.0], requires_grad=True)
    value = bandpo.reference_kl(logp, torch.tensor([-1.0]))
    value.sum().backward()
    assert value.item() == pytest.approx(math.expm1(20) - 20)
    assert torch.isfinite(logp.grad).all()
    assert bandpo.reference_kl(torch.tensor([-1.0]), torch.tensor([-500.0])).item() == pytest.approx(498.0)


def test_half_precision_is_computed_in_fp32():
    assert bandpo.reference_kl(LOGP.bfloat16(), REF.bfloat16()).dtype == torch.float32
    assert bandpo.reference_kl(LOGP, REF).dtype == torch.float64


def test_unknown_estimators_are_named():
    with pytest.raises(ValueError, match="estimator='k4': expected one of k1, k2, k3"):
        bandpo.reference_kl(LOGP, REF, "k4")


# d = logp_ref - logp at which e^d - 1 - d is 10, below and above: where verl's cap of 10 begins to hold.
HELD_BELOW, HELD_ABOVE = -10.99998, 2.61
REACH = torch.tensor(
    [-15.0, HELD_BELOW - 0.01, HELD_BELOW + 0.01, -1.0, 0.0, 1.0, HELD_ABOVE - 0.01, HELD_ABOVE + 0.01]
)


def test_a_cap_of_10_is_verls_k3():
    """kld = clamp(e^d - d - 1, -10, 10) with d = clamp(ref - logp, -20, 20), by hand in numpy."""
    logp = torch.full_like(REACH, -30.0, dtype=torch.float64).requires_grad_()
    found = bandpo.reference_kl(logp, logp.detach() + REACH.double(), "k3", 10.0)
    found.sum().backward()
    d = REACH.double().clamp(-20, 20).numpy()
    expected = np.clip(np.exp(d) - d - 1, -10, 10)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-15)
    slope = np.where(np.abs(expected) < 10, 1 - np.exp(d), 0.0)
    np.testing.assert_allclose(logp.grad.numpy(), slope, rtol=1e-12, atol=1e-15)
    assert (slope == 0).tolist() == [True, True, False, False, True, False, False, True]


@pytest.mark.parametrize(("estimator", "cap"), [("k1", 0.3), ("k2", 0.1), ("k3", 0.2)])
def test_a_cap_holds_any_estimator_on_both_sides(estimator, cap):
    plain, capped = bandpo.reference_kl(LOGP, REF, estimator), bandpo.reference_kl(LOGP, REF, estimator, cap)
    assert torch.equal(capped, plain.clamp(-cap, cap))
    assert (capped.abs() == cap).any()
    assert (capped.abs() < cap).any()


def test_without_a_cap_the_gradient_reaches_d_of_20():
    logp = torch.tensor([-25.0, -19.5, -12.0], requires_grad=True)
    bandpo.reference_kl(logp, torch.tensor([-1.0, -1.0, -1.0])).sum().backward()
    assert logp.grad.tolist() == pytest.approx([0.0, 1 - math.exp(18.5), 1 - math.exp(11.0)], rel=1e-5)


def test_the_loss_caps_the_reference_kl_at_every_token():
    inputs = torch.tensor([[-1.0, -9.0]]), torch.tensor([[-1.0, -9.0]]), torch.zeros(1), torch.ones(1, 2)
    reference = {"logp_ref": torch.tensor([[-1.5, -1.0]]), "beta": 2.0}
    plain, capped = (bandpo.policy_loss(*inputs, **reference, **cap).per_token for cap in ({}, {"kl_cap": 10.0}))
    assert plain.tolist() == [pytest.approx([2 * 0.1065307, 2 * (math.exp(8) - 9)], rel=1e-5)]
    assert capped.tolist() == [pytest.approx([2 * 0.1065307, 20.0], rel=1e-5)]


@pytest.mark.parametrize("cap", [0.0, -1.0, math.nan, math.inf])
def test_a_cap_that_is_none_is_refused(cap):
    inputs = LOGP[None], LOGP[None], torch.ones(1), torch.ones(1, 4)
    with pytest.raises(ValueError, match="cap="):
        bandpo.reference_kl(LOGP, REF, "k3", cap)
    with pytest.raises(ValueError, match="kl_cap="):
        bandpo.policy_loss(*inputs, logp_ref=REF[None], beta=0.1, kl_cap=cap)


def test_a_cap_without_a_reference_is_refused():
    inputs = LOGP[None], LOGP[None], torch.ones(1), torch.ones(1, 4)
    with pytest.raises(ValueError, match=r"kl_cap=10\.0 caps the reference KL: expected logp_ref and beta with it"):
        bandpo.policy_loss(*inputs, kl_cap=10.0)
