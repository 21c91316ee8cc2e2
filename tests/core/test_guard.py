"""The guard at ratios of e^±20: what every method's loss, gradient and metrics are there and beyond it."""

import math

import numpy as np
import pytest
import torch

import bandpo
from bandpo.core.tokens import MAX_LOG_RATIO

from .batches import NAMES, SETTING_IDS, SETTINGS, batch, gradients_of, loss_of, surrogate_of, to

every_setting = pytest.mark.parametrize(("name", "options"), SETTINGS, ids=SETTING_IDS)
# Log-ratios of the moved tokens, with an advantage of each sign, first row up and second row down.
FAR = (19.0, 20.0, 20.5, 60.0)


def far_batch(sign=1.0, dtype=torch.float64):
    """A batch whose first two rows have moved as far as `FAR`, up and down."""
    given = batch(rows=5, tokens=8, seed=3)
    moves = torch.tensor([*FAR, *FAR], dtype=torch.float64)
    advantages = sign * torch.tensor([1.5] * 4 + [-0.5] * 4, dtype=torch.float64)
    for row, direction in ((0, 1.0), (1, -1.0)):
        near = torch.full((8,), -1.0, dtype=torch.float64)
        far = near - moves
        given["logp"][row], given["logp_old"][row] = (near, far) if direction > 0 else (far, near)
        given["logp_rollout"][row] = given["logp_old"][row]
        given["advantages"][row], given["mask"][row] = advantages, True
    return to(given, dtype)


@every_setting
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_closed_form_gradient_is_autograds_beyond_the_guard_too(name, options, dtype):
    given = far_batch(dtype=dtype)
    _, gradients = gradients_of(name, given, aggregation="seq-mean-token-sum", **options)
    rows = given["mask"].any(-1).sum()
    surrogate, _ = surrogate_of(name, given, **options)
    found = gradients["logp"] * rows
    expected = torch.where(given["mask"], surrogate.gradient, 0.0)
    if bandpo.get_method(name).family == "interval":
        held = (given["logp"] - anchor(name, given)).abs() >= MAX_LOG_RATIO
        expected = torch.where(held, 0.0, expected)
    torch.testing.assert_close(found, expected, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=0)


def anchor(name, given):
    return given["logp_rollout" if bandpo.get_method(name).anchor == "rollout" else "logp_old"]


@every_setting
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_clip_counts_the_tokens_that_have_an_advantage_and_no_gradient(name, options, sign):
    given = far_batch(sign)
    out, gradients = gradients_of(name, given, **options)
    idle = given["mask"] & (given["advantages"] != 0) & (gradients["logp"] == 0)
    assert out.metrics["clip"][0].item() == idle.sum().item()


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", [n for n in NAMES if bandpo.get_method(n).family != "interval"])
def test_the_weight_metric_sums_the_gradient_that_reaches_the_policy(name, sign):
    given = far_batch(sign)
    out, gradients = gradients_of(name, given, aggregation="token-mean")
    tokens = given["mask"].sum()
    expected = (-torch.sign(given["advantages"]) * gradients["logp"] * tokens).sum().item()
    assert out.metrics["weight"][0].item() == pytest.approx(expected, rel=1e-9)


def one_token(log_ratio, advantage, method, **options):
    old = torch.tensor([[-1.0 - max(log_ratio, 0.0)]], dtype=torch.float64)
    logp = (old + log_ratio).requires_grad_()
    mask = torch.ones(1, 1, dtype=torch.bool)
    out = bandpo.policy_loss(
        logp, old, torch.tensor([[advantage]], dtype=torch.float64), mask, method=method, **options
    )
    out.loss.backward()
    return out, logp.grad.item()


@pytest.mark.parametrize("log_ratio", [20.5, 31.0, 88.0, 300.0])
def test_ce_gppo_keeps_its_bounded_gradient_however_far_a_token_has_moved(log_ratio):
    """The authors' -β₂ (1 + ε) A above for good tokens, -β₁ (1 - ε) A below for bad ones."""
    _, above = one_token(log_ratio, 2.0, "ce-gppo")
    _, below = one_token(-log_ratio, -2.0, "ce-gppo")
    assert above == pytest.approx(-1.0 * 1.2 * 2.0)
    assert below == pytest.approx(-0.75 * 0.8 * -2.0)
    assert one_token(log_ratio, -2.0, "ce-gppo")[1] == 0
    assert one_token(-log_ratio, 2.0, "ce-gppo")[1] == 0


@pytest.mark.parametrize("log_ratio", [21.0, 40.0, -21.0, -200.0])
def test_kl_cov_pulls_back_with_its_penalty_however_far_a_token_has_moved(log_ratio):
    out, gradient = one_token(log_ratio, 0.0, "kl-cov", coef=0.5)
    assert out.loss.item() == pytest.approx(0.5 * abs(log_ratio))
    assert gradient == pytest.approx(0.5 * math.copysign(1, log_ratio))


@pytest.mark.parametrize("log_ratio", [20.5, 50.0])
@pytest.mark.parametrize("advantage", [1.0, -2.0])
def test_cfpo_pulls_a_token_beyond_the_guard_back_as_one_that_is_there(log_ratio, advantage):
    _, gradient = one_token(log_ratio, advantage, "cfpo", eps=0.5)
    r = math.exp(20.0)
    assert gradient == pytest.approx(r * (-advantage + abs(advantage) * (r - 1) / 0.5))
    assert gradient > 0


@pytest.mark.parametrize("far", [-60.0, 47.0, -25.0])
@pytest.mark.parametrize("length", [2, 100])
def test_gspo_averages_log_ratios_as_they_are(far, length):
    """One token far off among many: held at ±20 before the mean, the response's ratio would be another."""
    d = np.zeros(length)
    d[0] = far
    old = torch.full((1, length), -70.0, dtype=torch.float64)
    logp = (old + torch.from_numpy(d)[None]).requires_grad_()
    mask = torch.ones(1, length, dtype=torch.bool)
    out = bandpo.policy_loss(logp, old, torch.tensor([-1.0]), mask, method="gspo", eps_low=1 - 1e-9, eps_high=1e9)
    out.loss.backward()
    s = math.exp(min(d.mean(), 10.0))
    assert out.per_token.tolist() == [pytest.approx([max(s, 1e-9)] * length, rel=1e-6)]
    expected = s / length if d.mean() < 10 and s > 1e-9 else 0.0
    assert logp.grad.tolist() == [pytest.approx([expected] * length, rel=1e-9)]


def test_gspo_of_a_response_with_one_token_at_e_to_the_minus_60_is_the_published_number():
    old = torch.full((1, 100), -1.0, dtype=torch.float64)
    logp = old.clone()
    logp[0, 0] -= 60.0
    out = bandpo.policy_loss(logp, old, torch.tensor([1.0]), torch.ones(1, 100), method="gspo")
    assert -out.loss.item() == pytest.approx(math.exp(-0.6))


@pytest.mark.parametrize("name", ["entropy", "tre"])
def test_gspo_as_the_base_of_a_bonus_averages_them_as_they_are_too(name):
    given = far_batch()
    plain = loss_of("gspo", given)
    bonus = loss_of(name, given, base="gspo", coef=0.0)
    torch.testing.assert_close(bonus.per_token, plain.per_token, rtol=1e-12, atol=0)


def test_quatro_sums_log_ratios_as_they_are():
    """log ρ = -30 + 25 - 1 of one answer: -6, not -20 + 20 - 1."""
    d = torch.tensor([[-30.0, 25.0, -1.0]], dtype=torch.float64)
    old = torch.full((1, 3), -40.0, dtype=torch.float64)
    logp = (old + d).requires_grad_()
    rewards = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    out = bandpo.policy_loss(
        logp,
        old,
        torch.tensor([0.5]),
        torch.ones(1, 3),
        method="quatro",
        group_rewards=rewards,
        aggregation="seq-mean-token-sum",
    )
    out.loss.backward()
    multiplier = bandpo.kl_multiplier(rewards, 0.05).item()
    expected = -math.exp(-6.0) * (0.5 + 6.0 * multiplier)
    assert logp.grad.tolist() == [pytest.approx([expected] * 3)]
