import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

import bandpo
from benchmarks import oracle
from tests.core.batches import log_probs

mp = oracle.mp
SAFE = {"deadline": None, "derandomize": True}
logits = st.lists(st.floats(-12, 12), min_size=6, max_size=6)


def by_mpmath(policy, rollout, divergence):
    """Σ μ log(μ/q) or ½ Σ |μ - q| over the listed tokens and the rest, at least 1e-12, in mpmath."""
    mu, q = ([mp.exp(mp.mpf(x)) for x in part] for part in (rollout, policy))
    for part in (mu, q):
        part.append(max(1 - mp.fsum(part), mp.mpf("1e-12")))
    pairs = list(zip(mu, q, strict=True))
    if divergence == "kl":
        return float(mp.fsum(m * mp.log(m / x) for m, x in pairs if m > 0))
    return float(mp.fsum(abs(m - x) for m, x in pairs) / 2)


@settings(max_examples=100, **SAFE)
@given(new=logits, old=logits, k=st.integers(1, 5))
def test_top_k_divergence_equals_mpmath(new, old, k):
    policy, rollout = (torch.log_softmax(torch.tensor(x, dtype=torch.float64), -1)[:k] for x in (new, old))
    for divergence in ("kl", "tv"):
        expected = by_mpmath(policy.tolist(), rollout.tolist(), divergence)
        found = bandpo.top_k_divergence(policy, rollout, divergence).item()
        # The smaller rest is 1 - Σ, exact to a few eps absolute, so its logarithm is to a few eps over it.
        rest = (-torch.expm1(torch.logsumexp(torch.stack([policy, rollout]), -1))).min().item()
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-14 / max(rest, 1e-12))
        single = bandpo.top_k_divergence(policy.float(), rollout.float(), divergence)
        assert single.dtype == torch.float32
        # fp32 cannot tell a rest of a few of its eps from none, which counts as 1e-12.
        slack = 1e-6 / rest if rest > 5e-7 else -math.log(1e-12)
        assert single.item() == pytest.approx(expected, rel=1e-4, abs=slack)


def test_top_k_divergence_is_the_relative_entropy_of_scipy():
    generator = torch.Generator().manual_seed(0)
    policy, rollout = (torch.log_softmax(torch.randn(3, 4, 7, generator=generator).double(), -1) for _ in range(2))
    listed = [x.exp().numpy()[..., :3] for x in (rollout, policy)]
    mu, q = (np.concatenate([part, 1 - part.sum(-1, keepdims=True)], -1) for part in listed)
    found = bandpo.top_k_divergence(policy[..., :3], rollout[..., :3], "kl").numpy()
    np.testing.assert_allclose(found, scipy_entropy(mu, q, axis=-1), rtol=1e-12)
    found = bandpo.top_k_divergence(policy[..., :3], rollout[..., :3], "tv").numpy()
    np.testing.assert_allclose(found, np.abs(mu - q).sum(-1) / 2, rtol=1e-12)


def test_with_one_listed_token_it_is_the_binary_divergence():
    logp, log_ratio = log_probs(50, generator=torch.Generator().manual_seed(1)), torch.linspace(-2, 0.02, 50).double()
    q = (logp + log_ratio).clamp_max(-1e-3)
    for name in ("kl", "tv"):
        binary = bandpo.projected_divergence(logp, q - logp, name)
        listed = bandpo.top_k_divergence(q.unsqueeze(-1), logp.unsqueeze(-1), name)
        torch.testing.assert_close(listed, binary, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("policy", "rollout", "kl", "tv"),
    [
        # A token that only the sampler can choose is infinitely far in KL; one that only the policy can is TV's alone.
        ([0.0, 0.5], [0.4, 0.5], math.inf, 0.4),
        ([0.4, 0.5], [0.0, 0.5], 0.5 * math.log(5.0), 0.4),
        ([0.0, 0.5], [0.0, 0.5], 0.0, 0.0),
        # Lists that hold everything leave 1e-12 for the rest.
        ([0.5, 0.5], [0.9, 0.1], 0.9 * math.log(1.8) + 0.1 * math.log(0.2), 0.4),
    ],
)
def test_tokens_of_probability_zero_are_taken(policy, rollout, kl, tv):
    inputs = [torch.tensor(x, dtype=torch.float64).log() for x in (policy, rollout)]
    assert bandpo.top_k_divergence(*inputs, "kl").item() == pytest.approx(kl, abs=1e-10)
    assert bandpo.top_k_divergence(*inputs, "tv").item() == pytest.approx(tv, abs=1e-11)


def test_a_listed_token_that_rose_from_nothing_counts_in_fp32():
    policy, rollout = torch.tensor([-1.0, -2.0]), torch.tensor([-120.0, -0.1])
    expected = by_mpmath(policy.tolist(), rollout.tolist(), "tv")
    assert bandpo.top_k_divergence(policy, rollout, "tv").item() == pytest.approx(expected, rel=1e-5)


def test_a_wrong_divergence_or_shape_is_refused():
    logp = torch.zeros(2, 3) - 2
    with pytest.raises(ValueError, match="divergence='js': expected 'kl' or 'tv'"):
        bandpo.top_k_divergence(logp, logp, "js")
    with pytest.raises(ValueError, match=r"topk_logp has shape \(2, 3\): expected the shape of .*, \(2, 2\)"):
        bandpo.top_k_divergence(logp, logp[:, :2])


def test_the_sampled_token_takes_the_last_place_where_it_is_missing():
    ids = torch.tensor([[[4, 7, 2], [4, 7, 2], [1, 0, 3]]])
    logp = torch.tensor([[[-0.5, -1.5, -2.5], [-0.6, -1.6, -2.6], [-0.7, -1.7, -2.7]]])
    found_ids, found = bandpo.with_sampled_token(
        ids, logp, torch.tensor([[9, 7, 3]]), torch.tensor([[-5.0, -1.6, -2.7]], dtype=torch.float64)
    )
    assert found_ids.tolist() == [[[4, 7, 9], [4, 7, 2], [1, 0, 3]]]
    expected = torch.tensor([[[-0.5, -1.5, -5.0], [-0.6, -1.6, -2.6], [-0.7, -1.7, -2.7]]])
    torch.testing.assert_close(found, expected)
    assert found.dtype == logp.dtype
    assert ids[0, 0, 2] == 2
    assert logp[0, 0, 2] == -2.5


def gradient(name, p, q, advantage, dtype=torch.float64, **options):
    """∂loss/∂logp of one token that moved from p to q, given as log-probs, under the sampler's anchor."""
    logp = torch.tensor([[q]], dtype=dtype).requires_grad_()
    mu = torch.tensor([[p]], dtype=dtype)
    advantages = torch.tensor([advantage], dtype=dtype)
    out = bandpo.policy_loss(logp, mu, advantages, torch.ones(1, 1), method=name, logp_rollout=mu, **options)
    out.loss.backward()
    return logp.grad.item()


SIDES = [
    # p, q, whether each radius is exceeded: TV .15, KL .05.
    (0.5, 0.70, True, True),
    (0.5, 0.64, False, False),
    (0.5, 0.30, True, True),
    (0.5, 0.36, False, False),
    (0.01, 0.15, False, True),
    (0.9, 0.98, False, True),
]


@pytest.mark.parametrize(("p", "q", "tv", "kl"), SIDES)
@pytest.mark.parametrize("advantage", [1.5, -1.5])
@pytest.mark.parametrize("two_sided", [False, True])
def test_a_token_outside_is_dropped_where_it_is_pushed_out_or_on_both_sides(p, q, tv, kl, advantage, two_sided):
    outward = (q > p) == (advantage > 0)
    for name, outside in (("dppo-tv", tv), ("dppo-kl", kl)):
        found = gradient(name, math.log(p), math.log(q), advantage, two_sided=two_sided)
        expected = 0.0 if outside and (outward or two_sided) else -advantage * q / p
        assert found == pytest.approx(expected, rel=1e-12)


def test_each_side_has_its_own_radius():
    up, down = (math.log(0.5), math.log(0.6)), (math.log(0.5), math.log(0.4))
    assert gradient("dppo-tv", *up, 1.0, delta_high=0.05) == 0
    assert gradient("dppo-tv", *up, 1.0, delta_low=0.05) != 0
    assert gradient("dppo-tv", *down, -1.0, delta_low=0.05) == 0
    assert gradient("dppo-tv", *down, -1.0, delta_high=0.05) != 0
    assert gradient("dppo-tv", *up, 1.0, delta=0.05) == gradient("dppo-tv", *down, -1.0, delta=0.05) == 0
    assert gradient("dppo-tv", *up, 1.0, delta=0.05, delta_high=0.2) != 0


@pytest.mark.parametrize("max_ratio", [2.0, 10.0, 1e4])
def test_the_importance_weight_is_truncated_and_the_decision_is_not(max_ratio):
    p, q = math.log(1e-6), math.log(0.01)
    assert gradient("dppo-tv", p, q, 1.0, max_ratio=max_ratio) == pytest.approx(-max_ratio)
    assert gradient("dppo-tv", p, q, 1.0, max_ratio=max_ratio, delta=0.005) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["dppo-tv", "dppo-kl"])
def test_a_token_that_rose_by_more_than_the_guard_of_the_ratio_is_still_dropped(name, dtype):
    """From e^-30 or e^-100 to e^-1: the ratio is guarded at e^20, the probability has changed by .37."""
    for p in (-30.0, -100.0):
        assert gradient(name, p, -1.0, 1.0, dtype) == 0
        assert gradient(name, p, -1.0, -1.0, dtype) != 0


def test_a_log_prob_that_rounded_to_zero_is_not_infinitely_far():
    """Next to certainty fp32 has no digits of 1 - q: .9999999 to 1 is no move, .9 to 1 is."""
    assert gradient("dppo-kl", -1.1920929e-07, 0.0, 1.0, torch.float32) == pytest.approx(-1)
    assert gradient("dppo-kl", -1e-4, 0.0, 1.0, torch.float32) == pytest.approx(-1, rel=1e-3)
    assert gradient("dppo-kl", math.log(0.9), 0.0, 1.0, torch.float32) == 0
    assert gradient("dppo-kl", 0.0, 0.0, 1.0, torch.float32) == -1


@pytest.mark.parametrize("name", ["dppo-tv", "dppo-kl"])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"two_sided": 1}, TypeError, "two_sided=1: expected True or False"),
        ({"delta": 0.0}, ValueError, "delta_low=0.0: expected 0 < delta_low < inf"),
        ({"delta_high": -1.0}, ValueError, "delta_high=-1.0: expected 0 < delta_high < inf"),
        ({"max_ratio": 1.0}, ValueError, "max_ratio=1.0: expected 1 < max_ratio < inf"),
    ],
)
def test_wrong_hyperparameters_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        gradient(name, -1.0, -1.0, 1.0, **options)
