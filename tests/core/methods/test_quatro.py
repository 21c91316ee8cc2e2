import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

import bandpo
from tests.core.batches import batch, gradients_of

SAFE = {"deadline": None, "derandomize": True}


def kl_of_weights(rewards, multiplier):
    """Σ w log(G w) for w ∝ e^(R/λ), in numpy."""
    scaled = (np.asarray(rewards) - np.max(rewards)) / multiplier
    log_w = scaled - np.log(np.exp(scaled).sum())
    return float((np.exp(log_w) * (log_w + math.log(len(rewards)))).sum())


def multiplier(rewards, delta, dtype=torch.float64):
    return bandpo.kl_multiplier(torch.tensor([rewards], dtype=dtype), delta).item()


@pytest.mark.parametrize("delta", [1e-4, 0.01, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(
    "rewards", [[1.0, 0.0, 0.0, 0.0], [0.2, 0.9, -3.0, 0.1, 0.4], [5.0, 4.999, 4.0, 1.0], [1e4, 0.0, -1e4, 3.0]]
)
def test_the_multiplier_is_the_root_found_by_scipy(rewards, delta):
    expected = brentq(lambda x: kl_of_weights(rewards, math.exp(x)) - delta, -14, 25, xtol=1e-14)
    assert multiplier(rewards, delta) == pytest.approx(math.exp(expected), rel=1e-8)


@settings(max_examples=150, **SAFE)
@given(rewards=st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=16), delta=st.floats(1e-5, 2.0))
def test_the_reweighted_group_costs_the_kl_that_was_asked_for(rewards, delta):
    spread = max(rewards) - min(rewards)
    assume(spread > 1e-3)
    found = multiplier(rewards, delta)
    reachable = math.log(len(rewards) / rewards.count(max(rewards)))
    if reachable <= delta:
        assert found == 0
        return
    # A gap between the best two that is tiny against the spread is resolved to e^-27 of the spread.
    gap = min((max(rewards) - x for x in rewards if x < max(rewards)), default=spread)
    assume(gap > 1e-6 * spread and reachable - delta > 1e-6)
    assert kl_of_weights(rewards, found) == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize("rewards", [[1.0, 0.0, 0.3], [0.0, -2.0]])
def test_a_shift_changes_nothing_and_a_scale_carries_over(rewards):
    plain = multiplier(rewards, 0.1)
    assert multiplier([x + 7.0 for x in rewards], 0.1) == pytest.approx(plain, rel=1e-9)
    assert multiplier([x * 1e3 for x in rewards], 0.1) == pytest.approx(1e3 * plain, rel=1e-9)


def test_one_reward_and_zero_have_the_multiplier_known_by_hand():
    """w = e/(e + 1) at λ = 1: the KL is w log 2w + (1 - w) log 2(1 - w)."""
    w = math.e / (math.e + 1)
    delta = w * math.log(2 * w) + (1 - w) * math.log(2 * (1 - w))
    assert multiplier([1.0, 0.0], delta) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e30])
def test_equal_rewards_ask_for_no_move_at_all(value):
    assert multiplier([value] * 5, 0.05) == math.inf


@pytest.mark.parametrize(
    ("rewards", "delta", "is_free"),
    [
        ([1.0, 0.0], math.log(2) + 1e-6, True),
        ([1.0, 0.0], math.log(2) - 1e-6, False),
        ([1.0, 1.0, 0.0, 0.0], math.log(2) + 1e-6, True),
        ([1.0, 1.0, 0.0, 0.0], math.log(2) - 1e-6, False),
        ([1.0, 1.0, 1.0, 0.0], math.log(4 / 3) + 1e-6, True),
        ([1.0, 1.0, 1.0, 0.0], math.log(4 / 3) - 1e-3, False),
    ],
)
def test_ties_bound_the_kl_that_can_be_reached(rewards, delta, is_free):
    """All weight on the best k of G answers costs log(G/k): a wider radius does not bind, and λ is 0."""
    found = multiplier(rewards, delta)
    assert (found == 0) == is_free
    if not is_free:
        assert kl_of_weights(rewards, found) == pytest.approx(delta, rel=1e-6)


def test_groups_are_solved_side_by_side():
    rewards = torch.tensor([[[1.0, 0.0, 0.0], [2.0, 2.0, 2.0]], [[0.5, 0.1, 0.9], [1.0, 1.0, 0.0]]]).double()
    found = bandpo.kl_multiplier(rewards, 0.05)
    assert found.shape == (2, 2)
    for group, one in zip(rewards.reshape(4, 3), found.flatten(), strict=True):
        torch.testing.assert_close(bandpo.kl_multiplier(group, 0.05), one)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_multiplier_keeps_its_digits_for_half_precision_rewards(dtype):
    rewards = torch.tensor([1.0, 0.0, 0.25, 0.5], dtype=dtype)
    found = bandpo.kl_multiplier(rewards, 0.05)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert found.item() == pytest.approx(multiplier([1.0, 0.0, 0.25, 0.5], 0.05), rel=1e-6)


@pytest.mark.parametrize("delta", [0.0, -0.1, math.inf, math.nan])
def test_a_radius_out_of_range_is_refused(delta):
    with pytest.raises(ValueError, match="expected 0 < delta < inf"):
        bandpo.kl_multiplier(torch.tensor([1.0, 0.0]), delta)


def test_rewards_must_be_floating():
    with pytest.raises(TypeError, match=r"rewards: expected a floating-point tensor, got dtype torch\.int64"):
        bandpo.kl_multiplier(torch.tensor([1, 0]), 0.1)


def test_the_update_settles_where_the_answers_have_the_optimal_weights():
    """Whole answers as tokens of their own: gradient descent on log ρ ends at log ρ = A/λ, A = R - mean R.

    That is the exact solution π ∝ π_old e^(R/λ) up to normalisation, so its weights cost the KL that was asked for.
    """
    rewards = torch.tensor([1.0, 0.0, 0.3, 0.7], dtype=torch.float64)
    old = torch.full((4, 1), -3.0, dtype=torch.float64)
    logp = old.clone().requires_grad_()
    for _ in range(400):
        out = bandpo.policy_loss(
            logp,
            old,
            rewards - rewards.mean(),
            torch.ones(4, 1),
            method="quatro",
            group_rewards=rewards.expand(4, 4),
            delta=0.1,
            aggregation="seq-mean-token-sum",
        )
        (gradient,) = torch.autograd.grad(out.loss, logp)
        logp = (logp - 0.2 * gradient).detach().requires_grad_()
    log_rho = (logp - old).detach().squeeze(-1)
    found = bandpo.kl_multiplier(rewards, 0.1)
    torch.testing.assert_close(log_rho, (rewards - rewards.mean()) / found, rtol=1e-4, atol=1e-6)
    weights = torch.softmax(log_rho, -1)
    assert (weights * (4 * weights).log()).sum().item() == pytest.approx(0.1, rel=1e-3)


def test_answers_whose_prompt_has_equal_rewards_do_not_move():
    given = batch()
    _, gradients = gradients_of("quatro", given)
    assert (gradients["logp"][0] == 0).all()
    assert (gradients["logp"][1][given["mask"][1]] != 0).all()
