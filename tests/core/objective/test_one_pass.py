"""The short way to the kernel, interpreted: the same numbers and the same errors as the long way."""

import math

import pytest
import torch

import bandpo
from bandpo.core.objective import one_pass
from tests.kernels.test_clip_loss import assert_same, batch, both

pytest.importorskip("triton", reason="Triton is not installed")


@pytest.fixture
def ways(monkeypatch):
    """Which way each loss went: True where the short one had an answer."""
    taken = []

    def spy(*arguments):
        found = in_one_pass(*arguments)
        taken.append(found is not None)
        return found

    in_one_pass = one_pass.in_one_pass
    monkeypatch.setattr("bandpo.core.objective.loss.in_one_pass", spy)
    return taken


def small(**options):
    return batch(rows=3, tokens=6, **options)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 6)])
@pytest.mark.parametrize("metrics", [True, False])
def test_advantages_of_every_shape(ways, shape, metrics):
    new, old, _, mask = small()
    advantages = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    assert_same(both((new, old, advantages, mask), "band-kl", metrics=metrics))
    assert ways == [True]


def test_tensors_that_are_not_contiguous(ways):
    inputs = tuple(x.t().contiguous().t() if x.dim() == 2 else x for x in small())
    assert_same(both(inputs, "band-kl"))
    assert ways == [True]


@pytest.mark.parametrize(
    ("options", "short"),
    [
        ({}, True),
        ({"denominator": torch.tensor(7.0)}, False),
        ({"anchor": "old"}, True),
        ({"delta": torch.tensor(0.05)}, True),
        ({"delta": torch.tensor([[0.01], [0.05], [0.1]], requires_grad=True), "lower": "mirror"}, True),
        ({"delta_low": torch.full((3, 6), 0.02), "eps_high": 0.3, "max_ratio": 2.0}, True),
        ({"delta_high": torch.full((1, 6), 0.02).double(), "logp_ref": small()[1] - 0.1, "beta": 0.1}, True),
        ({"logp_rollout": small()[1] - 0.1, "importance_cap": 2.0}, True),
        ({"logp_rollout": small()[1] - 0.1, "anchor": "rollout"}, False),
        ({"logp_ref": small()[1].double() - 0.1, "beta": 0.1}, False),
        ({"relax": (0.2, 0.3)}, True),
    ],
)
def test_both_ways_give_the_same(ways, options, short):
    assert_same(both(small(), "band-kl", **options))
    assert ways == [True] if short else True not in ways


WRONG = {
    "a NaN": ("logp", math.nan),
    "an infinity": ("logp_old", -math.inf),
    "a positive log-prob": ("logp", 0.01),
    "an infinite advantage": ("advantages", math.inf),
    "a loss that overflows": ("advantages", 3e38),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("metrics", [True, False])
def test_what_is_wrong_is_refused_in_the_words_of_the_long_way(ways, wrong, metrics):
    name, value = WRONG[wrong]
    new, old, _, _ = small()
    mask = torch.ones(3, 6, dtype=torch.bool)
    new, old = new.nan_to_num(-1.0), old.nan_to_num(-1.0, -1.0, -1.0)
    tensors = {"logp": new + 0.0, "logp_old": old, "advantages": torch.ones(3, 6), "mask": mask}
    if wrong == "a loss that overflows":
        tensors["logp"][1, 2], tensors["logp_old"][1, 2] = -1.0, -9.0
        tensors["advantages"][1, 2] = -value
    else:
        tensors[name][1, 2] = value
    messages = []
    for kernel in ("torch", "triton"):
        with pytest.raises(ValueError) as caught:
            bandpo.policy_loss(*tensors.values(), method="band-kl", metrics=metrics, kernel=kernel)
        messages.append(str(caught.value))
    assert messages[0].partition(":")[0] == messages[1].partition(":")[0]
    assert ways == [False]


def test_masked_positions_may_hold_anything(ways):
    new, old, advantages, mask = small()
    advantages = torch.where(mask, advantages.unsqueeze(1), math.nan)
    assert_same(both((torch.where(mask, new, 5.0), old, advantages, mask), "band-kl"))
    assert ways == [True]


def test_the_loss_of_every_token_has_a_gradient_too():
    gradients = []
    for kernel in ("torch", "triton"):
        new, *others = small()
        logp = new.requires_grad_()
        out = bandpo.policy_loss(logp, *others, kernel=kernel)
        (0.5 * out.loss + (out.per_token * torch.arange(6)).sum()).backward()
        first, logp.grad = logp.grad, None
        bandpo.policy_loss(logp, *others, kernel=kernel).per_token.sum().backward()
        gradients.append((first, logp.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_backward_twice_is_twice_the_gradient_and_a_second_derivative_is_refused():
    new, *others = small()
    logp = new.requires_grad_()
    loss = bandpo.policy_loss(logp, *others, kernel="triton").loss
    loss.backward(retain_graph=True)
    once = logp.grad.clone()
    loss.backward()
    assert torch.equal(logp.grad, 2 * once)
    loss = bandpo.policy_loss(logp, *others, kernel="triton").loss
    (gradient,) = torch.autograd.grad(loss, logp, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        gradient.sum().backward()


def test_the_loss_may_be_scaled_in_place():
    new, *others = small()
    loss = bandpo.policy_loss(new.requires_grad_(), *others, kernel="triton").loss
    loss /= 4
    loss.backward()


@pytest.mark.parametrize("rows", [2, 5, pytest.param(37, marks=pytest.mark.slow)])
def test_many_blocks_and_rows_are_reduced_to_the_same_loss(monkeypatch, rows):
    from bandpo.kernels import averaging, blocks, clip_loss_triton

    monkeypatch.setattr(blocks, "BLOCK", 16)
    monkeypatch.setattr(averaging, "REDUCED", 4)
    inputs = batch(rows=rows, tokens=50)
    for aggregation in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum"):
        assert_same(both(inputs, "grpo", aggregation=aggregation, metrics=False))
    assert clip_loss_triton._zero(torch.device("cpu"), 0).item() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation": "mean"}, "aggregation='mean': expected one of"),
        ({"max_tokens": 5}, "max_tokens=5 with aggregation='seq-mean-token-mean'"),
        ({"denominator": -1.0}, "denominator=-1.0"),
        ({"delta": -1.0}, "delta=-1.0"),
    ],
)
def test_settings_are_refused_as_on_the_long_way(options, message):
    for kernel in ("torch", "triton"):
        with pytest.raises(ValueError, match=message):
            bandpo.policy_loss(*small(), kernel=kernel, **options)
