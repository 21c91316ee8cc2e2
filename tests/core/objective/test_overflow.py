"""Every finite input gives a finite loss, gradient and metrics, or an error that names the token and its values."""

import math

import pytest
import torch

import bandpo

from ..batches import NAMES, batch, gradients_of, to

SIZES = (1e6, 1e12, 1e19, 1e25, 7e29, 1e34, 1e38, -3e38)
AT_THE_GUARD = (-25.0, -20.0, 0.0, 20.0, 25.0)


def extreme(size, dtype):
    given = to(batch(rows=2, tokens=5, seed=1), dtype)
    given["mask"] = torch.ones(2, 5, dtype=torch.bool)
    moves = torch.tensor([AT_THE_GUARD, AT_THE_GUARD], dtype=dtype)
    given["logp_old"] = torch.full((2, 5), -30.0, dtype=dtype)
    given["logp_rollout"] = given["logp_old"].clone()
    given["logp"] = given["logp_old"] + moves
    given["advantages"] = torch.tensor([[1.0] * 5, [-1.0] * 5], dtype=dtype)
    given["advantages"][:, 3:] *= size
    return given


def all_finite(out, gradients):
    values = [out.loss, out.per_token, *gradients.values(), *(x for pair in out.metrics.values() for x in pair)]
    return all(torch.isfinite(value).all() for value in values)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_fp32_is_finite_or_names_the_token(name, size):
    given = extreme(size, torch.float32)
    try:
        out, gradients = gradients_of(name, given)
    except ValueError as error:
        assert abs(size) > 1e10
        message = str(error)
        assert message.startswith("token ["), message
        assert "overflows torch.float32" in message
        assert f"advantages = {given['advantages'][0, 3].item():g}" in message or f"{-size:g}" in message
    else:
        assert all_finite(out, gradients)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_fp64_is_finite_and_its_metrics_are_summed_in_fp64(name, size):
    out, gradients = gradients_of(name, extreme(size, torch.float64))
    assert all_finite(out, gradients)
    assert {x.dtype for pair in out.metrics.values() for x in pair} == {torch.float64}


def test_the_metrics_of_fp64_have_the_digits_of_fp64():
    old = torch.full((1, 3000), -1.0, dtype=torch.float64)
    new = old + 1e-9 * torch.arange(3000, dtype=torch.float64)
    out = bandpo.policy_loss(new, old, torch.ones(1), torch.ones(1, 3000), entropy=old.abs() / 3)
    assert out.metrics["ratio"][0].item() == pytest.approx(
        math.fsum(math.exp(1e-9 * k) for k in range(3000)), rel=1e-14
    )
    assert out.metrics["entropy"][0].item() == pytest.approx(1000.0, rel=1e-14)


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"advantages": 1e38}, {}, r"token \[0, 1\] with logp = -2, logp_old = -20, advantages = 1e\+38: per_token"),
        ({"advantages": 1e300}, {}, r"token \[0, 1\] with .* advantages = 1e\+300: per_token"),
        ({"advantages": 1e24}, {"method": "cfpo"}, r"token \[0, 1\] with .* advantages = 1e\+24: per_token"),
        ({"logp_old": -3e38}, {}, r"token \[0, 1\] with logp = -2, logp_old = -3e\+38, .*: .*sampled_entropy"),
        ({"logp": -1e30}, {"logp_ref": None, "beta": 0.1, "kl_estimator": "k2"}, r"token \[0, 1\] with logp = -1e\+30"),
    ],
)
def test_the_token_at_fault_is_told_with_its_values(changed, options, message):
    given = {"logp": -2.0, "logp_old": -20.0, "advantages": 1.0} | changed
    tensors = {"logp": torch.full((1, 3), -1.0), "logp_old": torch.full((1, 3), -1.0)}
    tensors["advantages"] = torch.ones(1, 3, dtype=torch.float64)
    for name, value in given.items():
        tensors[name][0, 1] = value
    if given["logp_old"] < -1e38:
        tensors["logp_old"][0, 2] = given["logp_old"]
    if "logp_ref" in options:
        options = {**options, "logp_ref": torch.full((1, 3), -1.0)}
    arguments = tensors["logp"], tensors["logp_old"], tensors["advantages"], torch.ones(1, 3)
    with pytest.raises(ValueError, match=message):
        bandpo.policy_loss(*arguments, **options)
    bandpo.policy_loss(*arguments, check=False, **options)


def test_what_is_masked_may_be_as_large_as_it_likes():
    logp, mask = torch.full((1, 2), -1.0), torch.tensor([[True, False]])
    advantages = torch.tensor([[1.0, 3e38]])
    old = torch.tensor([[-1.0, -3e38]])
    assert torch.isfinite(bandpo.policy_loss(logp, old, advantages, mask).loss)
