"""A method of one's own: declared above its rule, known everywhere by its name, refused where it makes no sense."""

import math
from typing import Annotated

import pytest
import torch
from torch import Tensor

import bandpo

FACTS = {"family": "gate", "formula": "-A r", "citation": "a test"}


def scaled(tokens, *, factor: float = 1.0, weight: Annotated[Tensor, bandpo.Input("BT", "a weight", example=0.5)]):
    """Scale the policy gradient.

    More words.
    """
    loss = -factor * weight * tokens.advantages * torch.exp(tokens.log_ratio)
    return bandpo.Surrogate(loss, torch.where(tokens.log_ratio.abs() >= 20, 0.0, loss.detach()))


def test_a_rule_becomes_a_method():
    assert bandpo.register_method("scaled", **FACTS)(scaled) is scaled
    method = bandpo.get_method("scaled")
    assert (method.summary, method.hyperparameters) == ("Scale the policy gradient", {"factor": 1.0})
    assert method.inputs["weight"].shape == "BT" and "scaled" in bandpo.methods()
    logp = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    arguments = logp, logp.detach(), torch.tensor([2.0]), torch.ones(1, 2)
    for name in ("scaled", method):
        out = bandpo.policy_loss(*arguments, method=name, factor=3.0, weight=torch.ones(1, 2))
        assert out.per_token.tolist() == [[-6.0, -6.0]]
    bandpo.testing.check_method("scaled")


def test_an_input_may_be_left_out_where_its_default_is_none():
    """Annotated inside Optional, as Python 3.10 reads every default of None."""
    weight = Annotated[Tensor, bandpo.Input("BT", "a weight", example=0.5)] | None

    @bandpo.register_method("may-be-scaled", **FACTS)
    def may_be_scaled(tokens, *, factor: float = 1.0, weight: weight = None):
        """Scale the policy gradient, or leave it."""
        return scaled(tokens, factor=factor, weight=1.0 if weight is None else weight)

    method = bandpo.get_method("may-be-scaled")
    assert method.inputs.keys() == {"weight"} and method.hyperparameters == {"factor": 1.0}


def test_a_region_of_ones_own_is_a_method():
    @bandpo.register_method("upper-tv", family="interval", formula="TV above", citation="a test", ours=True)
    def upper_tv(*, delta: float = 0.1, dual_clip: float | None = None):
        """Bound total variation above alone."""
        tv = bandpo.get_divergence("tv")
        return bandpo.Band(divergence=tv, low=bandpo.Open(), high=bandpo.Within(delta), dual_clip=dual_clip)

    interval = bandpo.get_method("upper-tv").interval(torch.tensor([0.2]).log(), delta=0.05)
    assert interval.high.exp().item() == pytest.approx(1.25) and interval.low.item() == -torch.inf
    assert bandpo.get_method("upper-tv").per_token
    bandpo.testing.check_method("upper-tv", options={"delta": 0.02})


def measured(tokens, *, divergence: str, delta: float = 0.1):
    """Stop tokens that have moved by more than δ."""
    moved = bandpo.projected_divergence(tokens.logp_anchor, tokens.log_ratio.detach(), divergence)
    gradient = torch.where(moved > delta, 0.0, -tokens.advantages * torch.exp(tokens.log_ratio.detach()))
    return bandpo.Surrogate(gradient * tokens.logp, gradient)


def test_one_rule_serves_several_methods():
    for name, presets in (("by-tv", {"divergence": "tv"}), ("by-kl", {"divergence": "kl", "delta": 0.01})):
        bandpo.register_method(name, **{**FACTS, "presets": presets})(measured)
    assert [bandpo.get_method(name).hyperparameters for name in ("by-tv", "by-kl")] == [{"delta": 0.1}, {"delta": 0.01}]
    old = torch.tensor([[0.5]]).log()
    # At p = 1/2 and r = 1.18: |q - p| = 0.09, KL = -log(4 q (1 - q))/2 = 0.0165.
    for ratio, expected in ((1.1, [False, False]), (1.18, [False, True])):
        stopped = []
        for name in ("by-tv", "by-kl"):
            logp = (old + math.log(ratio)).requires_grad_()
            bandpo.policy_loss(logp, old, torch.ones(1), torch.ones(1, 1), method=name).loss.backward()
            stopped.append(logp.grad.item() == 0)
        assert stopped == expected
    with pytest.raises(TypeError, match="method 'by-kl' takes no 'divergence'"):
        bandpo.get_method("by-kl").resolve({"divergence": "tv"})


def no_docstring(tokens):
    return bandpo.Surrogate(tokens.log_ratio, tokens.log_ratio)


def no_default(tokens, *, factor):
    """Lack a default."""


def no_tokens(*, factor: float = 1.0):
    """Lack the tokens."""


@pytest.mark.parametrize(
    ("name", "rule", "changes", "error", "said"),
    [
        ("Scaled", scaled, {}, ValueError, "name='Scaled': expected lower-case letters"),
        ("grpo", scaled, {}, ValueError, "method name 'grpo' is taken"),
        ("spo", scaled, {}, ValueError, "method name 'spo' is taken"),
        ("band-js", scaled, {}, ValueError, "method name 'band-js' is taken"),
        (
            "new",
            scaled,
            {"family": "filter"},
            ValueError,
            "family='filter' of method 'new': expected one of",
        ),
        (
            "new",
            scaled,
            {"anchor": "ref"},
            ValueError,
            "anchor='ref' of method 'new': expected one of 'old'",
        ),
        ("new", scaled, {"scope": "word"}, ValueError, "scope='word'"),
        ("new", no_docstring, {}, ValueError, "expected a docstring"),
        ("new", no_default, {}, TypeError, "factor of method 'new': expected a keyword with a default"),
        ("new", no_tokens, {}, TypeError, "expected a rule whose first argument is the tokens"),
        ("new", measured, {}, TypeError, "divergence of method 'new': expected a keyword with a default"),
        ("new", scaled, {"presets": {"size": 1}}, TypeError, "presets of method 'new': its rule takes no 'size'"),
    ],
)
def test_what_makes_no_sense_is_refused(name, rule, changes, error, said):
    before = set(bandpo.methods())
    with pytest.raises(error, match=said):
        bandpo.register_method(name, **{**FACTS, **changes})(rule)
    assert set(bandpo.methods()) == before


@pytest.mark.parametrize("name", [*bandpo.methods()])
def test_every_method_passes_the_suite_for_methods(name):
    bandpo.testing.check_method(name)


def wrong_gradient(tokens):
    """State twice the gradient."""
    loss = -tokens.advantages * torch.exp(tokens.log_ratio)
    return bandpo.Surrogate(loss, 2 * loss.detach())


def attached(tokens):
    """Leave the gradient attached."""
    loss = -tokens.advantages * torch.exp(tokens.log_ratio)
    return bandpo.Surrogate(loss, loss)


def looks_around(tokens):
    """Look at the next token too."""
    weight = torch.exp(tokens.log_ratio.detach().roll(1, -1))
    loss = -tokens.advantages * torch.exp(tokens.log_ratio) * weight
    return bandpo.Surrogate(loss, loss.detach())


def squared(tokens):
    """Square the advantage."""
    loss = -tokens.advantages.square() * torch.exp(tokens.log_ratio)
    return bandpo.Surrogate(loss, loss.detach())


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (wrong_gradient, "the stated gradient is the derivative of the loss"),
        (attached, "the stated gradient is detached"),
        (looks_around, "its scope is the token"),
        (squared, "its loss scales with the advantage"),
    ],
)
def test_the_suite_finds_what_is_wrong(rule, said):
    bandpo.register_method("wrong", **FACTS)(rule)
    with pytest.raises(AssertionError, match=said):
        bandpo.testing.check_method("wrong")
