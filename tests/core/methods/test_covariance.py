import numpy as np
import pytest
import torch

import bandpo
from tests.core.batches import batch, gradients_of


def test_covariance_of_all_tokens_is_that_of_numpy():
    given = batch(rows=6, tokens=9)
    inside = given["mask"].numpy()
    found = bandpo.token_covariance(given["logp"], given["advantages"], given["mask"]).numpy()
    assert (found[~inside] == 0).all()
    a, x = given["advantages"].numpy()[inside], given["logp"].numpy()[inside]
    np.testing.assert_allclose(found[inside], (a - a.mean()) * (x - x.mean()), rtol=1e-12)
    assert found[inside].mean() == pytest.approx(np.cov(a, x, bias=True)[0, 1], rel=1e-12)


def test_masked_positions_do_not_enter_the_means():
    logp = torch.tensor([[-1.0, -3.0, float("nan")]])
    mask = torch.tensor([[True, True, False]])
    found = bandpo.token_covariance(logp, torch.tensor([[2.0, -1.0, float("inf")]]), mask)
    assert found.tolist() == [[1.5, 1.5, 0.0]]
    assert bandpo.token_covariance(logp, logp, mask & False).tolist() == [[0.0, 0.0, 0.0]]


def test_the_covariance_carries_no_gradient():
    logp = torch.tensor([[-1.0, -3.0]], requires_grad=True)
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert not bandpo.token_covariance(logp, logp.detach(), mask).requires_grad


def dropped(given, **options):
    """Tokens whose gradient Clip-Cov removed beyond what its clip removes."""
    _, gradients = gradients_of("clip-cov", given, **options)
    _, clipped = gradients_of("clip-cov", given, **{**options, "cov_low": 1e6, "cov_high": 1e7})
    return (gradients["logp"] == 0) & (clipped["logp"] != 0)


@pytest.mark.parametrize("fraction", [1e-4, 0.05, 0.2, 1.0])
def test_clip_cov_drops_the_share_asked_for_and_at_least_one(fraction):
    given = batch(rows=10, tokens=20, seed=3)
    covariance = bandpo.token_covariance(given["logp"], given["advantages"], given["mask"])
    eligible = given["mask"] & (covariance > 0.1) & (covariance < 2.0)
    found = dropped(given, fraction=fraction, cov_low=0.1, cov_high=2.0, dual_clip=None)
    quota = max(1, int(fraction * given["mask"].sum().item()))
    assert found.sum() == min(quota, eligible.sum())
    assert not (found & ~eligible).any()
    assert eligible.sum() > 20


def test_clip_cov_takes_tokens_by_their_noise_and_spares_those_the_clip_has_stopped():
    given = batch(rows=10, tokens=20, seed=3)
    options = {"cov_low": 0.1, "cov_high": 2.0, "eps_low": 0.05, "eps_high": 0.05, "dual_clip": None}
    covariance = bandpo.token_covariance(given["logp"], given["advantages"], given["mask"])
    ratio = torch.exp(given["logp"] - given["logp_old"])
    good = given["advantages"] > 0
    stopped = torch.where(good, ratio > 1.05, (given["advantages"] < 0) & (ratio < 0.95))
    eligible = given["mask"] & ~stopped & (covariance > 0.1) & (covariance < 2.0)
    found = dropped(given, fraction=0.05, **options)
    quota = int(0.05 * given["mask"].sum().item())
    cut = given["noise"][eligible].sort(descending=True).values[quota - 1]
    assert torch.equal(found, eligible & (given["noise"] >= cut))


def test_without_noise_clip_cov_draws_its_own():
    given = batch(rows=10, tokens=20, seed=3)
    options = {"fraction": 0.1, "cov_low": 0.1, "cov_high": 2.0}

    def draw(seed):
        torch.manual_seed(seed)
        return dropped({**given, "noise": None}, **options)

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    every = torch.stack([draw(seed) for seed in range(60)]).sum(0)
    eligible = every > 0
    # Each of the eligible is dropped about as often as any other.
    assert every[eligible].float().std() < 0.75 * every[eligible].float().mean()


@pytest.mark.parametrize("fraction", [1e-3, 0.1, 0.3, 1.0])
def test_kl_cov_holds_the_tokens_of_highest_covariance(fraction):
    given = batch(rows=10, tokens=20, seed=5)
    inside, count = given["mask"], given["mask"].sum().item()
    out, gradients = gradients_of("kl-cov", given, fraction=fraction, coef=0.5, aggregation="token-mean")
    covariance = bandpo.token_covariance(given["logp"], given["advantages"], inside)
    quota = max(1, int(fraction * count))
    cut = covariance[inside].sort(descending=True).values[quota - 1]
    held = inside & (covariance >= cut)
    d = given["logp"] - given["logp_old"]
    plain = -given["advantages"] * torch.exp(d)
    expected = torch.where(inside, plain + 0.5 * torch.where(held, d.abs(), 0), 0.0)
    torch.testing.assert_close(out.per_token.detach(), expected)
    expected = torch.where(inside, plain + 0.5 * torch.where(held, d.sign(), 0), 0.0)
    torch.testing.assert_close(gradients["logp"] * count, expected)
    assert held.sum() == quota


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clip-cov", {"fraction": 0.0}, "fraction=0.0: expected 0 < fraction"),
        ("clip-cov", {"fraction": 1.1}, "fraction=1.1: expected 0 < fraction"),
        ("clip-cov", {"cov_low": 2.0, "cov_high": 1.0}, "cov_high=1.0: expected 2 <= cov_high"),
        ("clip-cov", {"dual_clip": 1.0}, "dual_clip=1.0: expected 1 < dual_clip"),
        ("kl-cov", {"fraction": 2}, "fraction=2: expected 0 < fraction"),
        ("kl-cov", {"coef": -0.1}, "coef=-0.1: expected 0 <= coef"),
    ],
)
def test_values_out_of_range_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        gradients_of(name, batch(), **options)
