import pytest
import torch
from torch.func import grad, vmap

import bandpo

KNOWN = ("grpo", "band-kl", "band-js", "dcpo", "atr-grpo", "no-clip")


class Policy:
    """Log-probs of sampled tokens as a function of weights, which a second derivative runs through."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.weights = (0.1 * torch.randn(4, 3, generator=generator)).requires_grad_()
        self.features = torch.randn(2, 5, 3, generator=generator)
        self.tokens = torch.randint(0, 4, (2, 5, 1), generator=generator)
        self.old = torch.full((2, 5), -1.4)
        self.advantages = torch.randn(2, generator=generator)

    def loss(self, **options):
        logits = self.features @ self.weights.T
        logp = torch.log_softmax(logits, -1).gather(-1, self.tokens).squeeze(-1)
        return bandpo.policy_loss(logp, self.old, self.advantages, torch.ones(2, 5), **options).loss


@pytest.mark.parametrize("reduced", [True, False])
@pytest.mark.parametrize("method", KNOWN)
def test_a_second_derivative_raises_instead_of_lacking_a_term(method, reduced):
    policy = Policy()
    (first,) = torch.autograd.grad(policy.loss(method=method), policy.weights, create_graph=True)
    second = first.square().sum() if reduced else first[0, 0]
    with pytest.raises(RuntimeError, match="it has no second derivative"):
        torch.autograd.grad(second, policy.weights, retain_graph=True)
    with pytest.raises(RuntimeError, match="it has no second derivative"):
        second.backward()


def test_of_the_fused_kernel_too():
    pytest.importorskip("triton")
    policy = Policy()
    (first,) = torch.autograd.grad(policy.loss(kernel="triton"), policy.weights, create_graph=True)
    with pytest.raises(RuntimeError, match="it has no second derivative"):
        torch.autograd.grad(first.sum(), policy.weights)


@pytest.mark.parametrize("method", KNOWN)
def test_keeping_the_graph_changes_no_first_derivative(method):
    policy = Policy()
    (plain,) = torch.autograd.grad(policy.loss(method=method), policy.weights)
    (kept,) = torch.autograd.grad(policy.loss(method=method), policy.weights, create_graph=True)
    assert torch.equal(plain, kept.detach())


def test_transforms_take_one_derivative_and_refuse_two():
    old, mask = torch.full((2, 5), -1.4), torch.ones(2, 5)

    def loss(logp):
        return bandpo.policy_loss(logp, old, torch.ones(2), mask).loss

    logp = torch.full((2, 5), -1.3)
    leaf = logp.clone().requires_grad_()
    loss(leaf).backward()
    assert torch.equal(vmap(grad(loss))(torch.stack([logp, logp]))[1], leaf.grad)
    with pytest.raises(RuntimeError, match="it has no second derivative"):
        grad(lambda x: grad(loss)(x).sum())(logp)


def test_methods_that_are_formulas_have_the_second_derivative_of_their_formula():
    policy = Policy()
    (first,) = torch.autograd.grad(policy.loss(method="cfpo"), policy.weights, create_graph=True)
    (second,) = torch.autograd.grad(first[0, 0], policy.weights)
    step = 1e-3
    with torch.no_grad():
        policy.weights[0, 0] += step
    (above,) = torch.autograd.grad(policy.loss(method="cfpo"), policy.weights)
    with torch.no_grad():
        policy.weights[0, 0] -= 2 * step
    (below,) = torch.autograd.grad(policy.loss(method="cfpo"), policy.weights)
    torch.testing.assert_close(second, (above - below) / (2 * step), rtol=1e-2, atol=1e-2)
