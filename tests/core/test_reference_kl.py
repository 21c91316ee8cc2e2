import math

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
