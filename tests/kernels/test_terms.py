"""The sampler's weight and the KL to a reference inside the fused kernel, against the torch code."""

import math

import pytest
import torch

import bandpo

pytest.importorskip("triton", reason="Triton is not installed")

from tests.kernels.test_clip_loss import assert_same, assert_traced_is_eager, batch, both

WEIGHTS = ({}, {"importance_cap": 2.0}, {"importance_cap": 0.5})
REFERENCES = (
    {},
    {"beta": 0.1},
    {"beta": 0.1, "kl_estimator": "k1"},
    {"beta": 0.3, "kl_estimator": "k2"},
    {"beta": 0.3, "kl_estimator": "k2", "kl_cap": 0.02},
    {"beta": 2.0, "kl_cap": 0.05},
    {"beta": 0.1, "kl_estimator": "k1", "kl_cap": 0.1},
)


def others(old, mask, beta, spread=0.3):
    """Log-probs of a sampler and, with beta, of a reference; junk where masked."""
    generator = torch.Generator().manual_seed(7)
    names = ("logp_rollout", "logp_ref") if beta else ("logp_rollout",)
    near = torch.where(mask, old.float(), -1.0)
    noise = {name: spread * torch.randn(old.shape, generator=generator) for name in names}
    return {name: torch.where(mask, (near + moved).clamp_max(0.0), math.nan) for name, moved in noise.items()}


CASES = [(WEIGHTS[place % 3], reference, place % 2 == 0) for place, reference in enumerate(REFERENCES)] + [
    (weight, {}, place % 2 == 0) for place, weight in enumerate(WEIGHTS)
]


@pytest.mark.parametrize(("weight", "reference", "metrics"), CASES)
def test_equal_the_torch_code(weight, reference, metrics):
    inputs = batch(tokens=300)
    given = others(inputs[1], inputs[3], reference.get("beta")) | weight | reference
    found = both(inputs, "band-kl", metrics=metrics, **given)
    assert_same(found)
    assert ("reference_kl" in found[1][0].metrics) == bool(metrics and reference)
    assert ("rollout_kl" in found[1][0].metrics) == metrics


@pytest.mark.parametrize("method", ["grpo", "dual-clip", "no-clip", "band-tv", "band-mirror", "atr-grpo", "dcpo"])
def test_of_every_kind_of_method(method):
    inputs = batch(tokens=200)
    given = others(inputs[1], inputs[3], beta=True)
    assert_same(both(inputs, method, importance_cap=1.5, beta=0.2, aggregation="token-mean", **given))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_log_probs_in_16_bits(dtype):
    """Two gradients of one log-prob are rounded once by the kernel, twice by autograd."""
    inputs = batch(tokens=200, dtype=dtype)
    given = {name: one.to(dtype) for name, one in others(inputs[1], inputs[3], beta=True).items()}
    (one, gradient), (other, other_gradient) = both(inputs, "band-kl", importance_cap=1.5, beta=0.2, **given)
    torch.testing.assert_close(other.per_token, one.per_token, rtol=2e-6, atol=1e-7)
    largest = gradient.abs().max().item()
    torch.testing.assert_close(other_gradient, gradient, rtol=0, atol=largest * 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("cap", [None, 10.0])
def test_from_far_below_the_policy_to_far_above_it(estimator, cap):
    """k3 is held from d = 20 on, the estimate itself at the cap: neither has a gradient there."""
    old = torch.tensor([[-1e-12, -0.5, -10.0, -27.0, -60.0, -60.0, -60.0, -80.0]])
    new = torch.tensor([[-1e-9, -0.5, -9.0, -27.5, -60.0, -59.0, -60.0, -80.0]])
    reference = torch.tensor([[0.0, -0.5, -40.0, -1e-3, -40.0, -39.5, -1e-9, -80.5]])
    inputs = new, old, torch.tensor([1.0]), torch.ones(1, 8, dtype=torch.bool)
    given = {"logp_ref": reference, "beta": 0.5, "kl_estimator": estimator, "kl_cap": cap}
    assert_same(both(inputs, "no-clip", **given))


def test_a_sampler_far_from_the_old_policy_is_weighed_up_to_the_cap():
    old = torch.tensor([[-1.0, -1.0, -50.0, -1e-9]])
    rollout = torch.tensor([[-90.0, -1.0, -0.1, -1e-12]])
    inputs = old + torch.tensor([[-0.05, 0.02, 0.01, 0.0]]), old, torch.tensor([1.0]), torch.ones(1, 4) > 0
    found = both(inputs, "band-kl", logp_rollout=rollout, importance_cap=3.0)
    assert_same(found)
    assert found[1][1][0, 0] / found[1][1][0, 1] == pytest.approx(3.0 * math.exp(-0.07), rel=1e-5)


@pytest.mark.parametrize(("rows", "tokens"), [(1, 1), (3, 1025), (0, 5), (5, 0)])
def test_shapes(rows, tokens):
    new, old, advantages, mask = (x[:rows] for x in batch(rows=6, tokens=max(tokens, 1)))
    inputs = new[:, :tokens], old[:, :tokens], advantages, mask[:, :tokens]
    assert_same(both(inputs, "band-kl", beta=0.1, importance_cap=2.0, **others(inputs[1], inputs[3], beta=True)))


@pytest.mark.parametrize("name", ["logp_rollout", "logp_ref"])
@pytest.mark.parametrize(("wrong", "metrics"), [(math.nan, True), (math.inf, False), (-math.inf, True), (0.5, False)])
def test_a_wrong_log_prob_is_named_where_it_is_looked_for(name, wrong, metrics):
    inputs = batch(tokens=50)
    given = others(inputs[1], inputs[3], beta=True)
    row, column = inputs[3].nonzero()[10].tolist()
    given[name][row, column] = wrong
    for kernel in ("torch", "triton"):
        with pytest.raises(ValueError, match=rf"{name}\[{row}, {column}\] = "):
            bandpo.policy_loss(*inputs, beta=0.1, kernel=kernel, metrics=metrics, **given)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"importance_cap": 2.0}, ValueError, r"importance_cap=2\.0 needs logp_rollout"),
        ({"importance_cap": -1.0, "logp_rollout": batch()[1]}, ValueError, r"importance_cap=-1\.0"),
        ({"importance_cap": "2", "logp_rollout": batch()[1]}, TypeError, "importance_cap='2': expected a number"),
        ({"beta": 0.1}, ValueError, r"beta=0\.1 with logp_ref missing"),
        ({"logp_ref": batch()[1]}, ValueError, r"beta=0\.0 with logp_ref given"),
        ({"beta": 0.1, "logp_ref": batch()[1], "kl_estimator": "k4"}, ValueError, "kl_estimator='k4'"),
        ({"beta": 0.1, "logp_ref": batch()[1], "kl_cap": 0.0}, ValueError, r"kl_cap=0\.0"),
        ({"beta": 0.1, "logp_ref": batch()[1][:, :3]}, ValueError, "logp_ref has shape"),
        ({"logp_rollout": batch()[1].long()}, TypeError, "logp_rollout: expected a floating-point tensor"),
    ],
)
def test_the_kernel_refuses_what_the_torch_code_refuses(given, kind, words):
    for kernel in ("torch", "triton"):
        with pytest.raises(kind, match=words):
            bandpo.policy_loss(*batch(), kernel=kernel, **given)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("name", ["logp_rollout", "logp_ref"])
@pytest.mark.parametrize("wrong", [math.nan, -math.inf])
def test_unchecked_what_is_no_number_stays_none_as_in_torch(estimator, name, wrong):
    found = []
    for kernel in ("torch", "triton"):
        logp = torch.tensor([[-1.0, -1.1, -2.0]], requires_grad=True)
        given = {"logp_rollout": logp.detach() - 0.1, "logp_ref": logp.detach() + 0.2}
        given[name][0, 1] = wrong
        tensors = logp, logp.detach() - 0.05, torch.ones(1), torch.ones(1, 3) > 0
        options = {"importance_cap": 2.0, "beta": 0.3, "kl_estimator": estimator, "check": False}
        out = bandpo.policy_loss(*tensors, kernel=kernel, **options, **given)
        out.loss.backward()
        found.append((out.loss, out.per_token, logp.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-6, atol=1e-7, equal_nan=True)


def test_traced_with_the_terms_and_radii_inside():
    inputs = batch(tokens=40)
    given = others(inputs[1], inputs[3], beta=True) | {"delta": torch.tensor([[0.05], [0.1], [0.2], [0.3]])}

    def loss(logp, *rest):
        options = {"method": "band-kl", "kernel": "triton", "metrics": False, "importance_cap": 2.0, "beta": 0.1}
        return bandpo.policy_loss(logp, *rest, **options, **given).loss

    assert_traced_is_eager(loss, inputs)
