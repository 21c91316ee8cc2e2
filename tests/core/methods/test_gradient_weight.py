import math

import pytest
import torch

import bandpo
from tests.core.batches import NAMES, TIGHT, batch

P = torch.tensor([[0.01, 0.3], [0.6, 0.95]], dtype=torch.float64)
LOG_RATIO = torch.tensor([[0.5, -0.4], [0.2, -0.05]], dtype=torch.float64)


def inputs_of(name, count):
    given = batch(rows=count, tokens=1)
    return {key: given[key] for key in bandpo.get_method(name).inputs}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("advantage", [1.5, -1.5])
def test_the_weight_is_the_gradient_of_the_loss_over_the_plain_one(name, advantage):
    """Whatever the method, -∂loss/∂logp = A r w with every token a response of its own."""
    inputs = inputs_of(name, 4)
    for options in ({}, TIGHT[name]):
        found = bandpo.gradient_weight(name, P.log(), LOG_RATIO, advantage, **inputs, **options)
        old = P.log().reshape(4, 1)
        logp = (old + LOG_RATIO.reshape(4, 1)).requires_grad_()
        advantages = torch.full((4, 1), advantage, dtype=torch.float64)
        out = bandpo.policy_loss(
            logp,
            old,
            advantages,
            torch.ones(4, 1),
            method=name,
            logp_rollout=old,
            aggregation="seq-mean-token-sum",
            denominator=1,
            **inputs,
            **options,
        )
        out.loss.backward()
        expected = -logp.grad / (advantages * torch.exp(logp.detach() - old))
        torch.testing.assert_close(found, expected.reshape(2, 2), rtol=1e-10, atol=1e-12)


KNOWN = [
    ("grpo", 0.3, 1.1, 1.0, 1.0),
    ("grpo", 0.3, 1.3, 1.0, 0.0),
    ("grpo", 0.3, 1.3, -1.0, 1.0),
    ("grpo", 0.3, 0.7, -1.0, 0.0),
    ("dppo-tv", 0.5, 1.2, 1.0, 1.0),
    ("dppo-tv", 0.5, 1.4, 1.0, 0.0),
    ("cfpo", 0.3, 1.1, 1.0, 0.5),
    ("cfpo", 0.3, 1.3, 1.0, -0.5),
    ("cfpo", 0.3, 0.9, 1.0, 1.5),
    ("drpo", 0.5, 1.5, 1.0, 0.98),
    ("drpo", 0.5, 1.5, -1.0, 1.02),
    ("cispo", 0.01, 10.0, 1.0, 0.5),
    ("cispo", 0.01, 4.0, 1.0, 1.0),
    ("ce-gppo", 0.3, 2.0, 1.0, 0.6),
    ("ce-gppo", 0.3, 0.5, -1.0, 1.2),
    ("maspo", 1.0, 0.5, -1.0, math.exp(-0.125 * 1.03**2)),
    ("sapo", 0.3, 1.0, 1.0, 1.0),
]


@pytest.mark.parametrize(("name", "p", "r", "advantage", "weight"), KNOWN)
def test_weights_known_by_hand(name, p, r, advantage, weight):
    logp, log_ratio = (torch.tensor(math.log(x), dtype=torch.float64) for x in (p, r))
    found = bandpo.gradient_weight(name, logp, log_ratio, advantage)
    assert found.shape == ()
    assert found.item() == pytest.approx(weight, rel=1e-12, abs=1e-12)


def test_shapes_broadcast_and_zero_has_no_sign():
    logp, log_ratio = torch.tensor([0.1, 0.5, 0.9]).log(), torch.tensor([[-1.0], [1.0]])
    found = bandpo.gradient_weight("grpo", logp, log_ratio, torch.tensor(-2.0))
    assert found.tolist() == [[0.0] * 3, [1.0] * 3]
    assert not torch.signbit(found).any()
    assert found.dtype == torch.float32


def test_the_weight_carries_no_gradient():
    logp = torch.tensor([-1.0], requires_grad=True)
    assert not bandpo.gradient_weight("sapo", logp, torch.tensor([0.1])).requires_grad


def test_missing_inputs_and_unknown_options_are_named():
    logp = torch.tensor([-1.0])
    with pytest.raises(ValueError, match="method 'tre' needs logits"):
        bandpo.gradient_weight("tre", logp, logp)
    with pytest.raises(TypeError, match="method 'grpo' takes no 'delta'"):
        bandpo.gradient_weight("grpo", logp, logp, delta=0.1)
