"""What is left out must not change the gradient: bounds no token can reach, and bounds that need not be found."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import bandpo
from bandpo.core.divergences.kl_solver import kl_lower, kl_toward, kl_upper

from .helpers import of_whole

SETTINGS = (
    {},
    {"delta": 0.3},
    {"delta_low": 0.01, "delta_high": 0.2},
    {"lower": "mirror"},
    {"upper": "mirror", "lower": "none"},
    {"eps_low": 0.2},
    {"eps_high": 0.28, "relax": (0.1, 0.1)},
    {"relax": (0.2, 0.28)},
    {"max_ratio": 1.5, "dual_clip": 1.2},
    {"upper": "none"},
)
DIVERGENCES = ("kl", "tv", "chi2", "hellinger", "js", "reverse-kl")


def moved(count=400, dtype=torch.float64, seed=0):
    """One response of tokens of every probability, moved both ways, with advantages of every sign."""
    generator = torch.Generator().manual_seed(seed)
    old = -torch.exp(torch.rand(count, generator=generator, dtype=torch.float64) * 14 - 10)
    new = (old + 0.6 * torch.randn(count, generator=generator, dtype=torch.float64)).clamp_max(-1e-9)
    advantages = torch.randint(-1, 2, (count,), generator=generator).double()
    return [x.to(dtype)[None] for x in (new, old, advantages)] + [torch.ones(1, count, dtype=torch.bool)]


def result(inputs, **options):
    logp = inputs[0].clone().requires_grad_()
    out = bandpo.policy_loss(logp, *inputs[1:], kernel="torch", **options)
    out.loss.backward()
    return out, logp.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("divergence", "options"), list(itertools.product(DIVERGENCES, SETTINGS)))
def test_without_metrics_half_the_bounds_give_the_same_bits(divergence, options, dtype):
    inputs = moved(dtype=dtype)
    (both, gradient), (one, other) = (
        result(inputs, method=f"band-{divergence}", metrics=m, **options) for m in (True, False)
    )
    assert torch.equal(one.per_token, both.per_token)
    assert torch.equal(other, gradient)


@pytest.mark.parametrize("delta", [0.05, torch.tensor(0.05), torch.linspace(0.01, 0.4, 400)[None]])
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_toward_keeps_the_side_the_advantage_pushes_to_and_opens_the_other(divergence, delta):
    _, old, advantages, _ = moved(dtype=torch.float32)
    both = bandpo.band(old, delta, divergence)
    one = bandpo.band(old, delta, divergence, toward=advantages)
    up = advantages >= 0
    assert torch.equal(one.high, torch.where(up, both.high, math.inf))
    assert torch.equal(one.low, torch.where(up, -math.inf, both.low))


@given(st.floats(-60, -1e-12), st.floats(1e-6, 19), st.booleans())
def test_one_solve_is_either_of_the_two(logp, delta, upward):
    for dtype in (torch.float32, torch.float64):
        one = torch.tensor([logp], dtype=dtype)
        expected = (kl_upper if upward else kl_lower)(one, delta)
        assert torch.equal(kl_toward(one, delta, torch.tensor([upward])), expected)


@of_whole
def test_toward_compiled_equals_eager():
    _, old, advantages, _ = moved(dtype=torch.float32)
    compiled = torch.compile(lambda x, a: bandpo.band(x, 0.05, toward=a, check=False), fullgraph=True)
    for found, expected in zip(compiled(old, advantages), bandpo.band(old, 0.05, toward=advantages), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("divergence", "options"), list(itertools.product(DIVERGENCES, SETTINGS)))
def test_without_roots_the_gradient_is_the_same(divergence, options):
    inputs = moved()
    (exact, gradient), (free, other) = (
        result(inputs, method=f"band-{divergence}", bounds=b, **options) for b in (True, False)
    )
    assert torch.equal(other, gradient)
    assert (gradient == 0).sum() > 20
    learning = gradient != 0
    torch.testing.assert_close(free.per_token[learning], exact.per_token[learning])


def test_without_roots_a_stopped_token_reports_its_own_ratio_and_metrics_have_no_bounds():
    old, new = torch.tensor([[0.5]]).log(), torch.tensor([[0.9]]).log()
    inputs = new, old, torch.tensor([2.0]), torch.ones(1, 1)
    (exact, _), (free, gradient) = (result(inputs, method="band-js", delta=0.01, bounds=b) for b in (True, False))
    assert gradient.item() == 0
    assert free.loss.item() == pytest.approx(-2 * 1.8)
    assert exact.loss.item() > free.loss.item()
    assert {"bound_low", "log_bound_high"} <= exact.metrics.keys()
    assert not {"bound_low", "log_bound_high"} & free.metrics.keys()
    for name in ("clip", "clip_high", "ratio"):
        assert free.metrics[name] == exact.metrics[name]


@of_whole
def test_without_roots_compiled():
    new, old, advantages, mask = moved(dtype=torch.float32)

    def loss(logp):
        options = {"method": "band-kl", "delta": torch.tensor(0.05), "bounds": False, "metrics": False}
        return bandpo.policy_loss(logp, old, advantages, mask, check=False, **options).loss

    logp, other = (new.clone().requires_grad_() for _ in range(2))
    loss(logp).backward()
    torch.compile(loss, fullgraph=True, backend="aot_eager")(other).backward()
    torch.testing.assert_close(other.grad, logp.grad)


@settings(max_examples=50)
@given(st.floats(-20, -1e-6), st.floats(-3, 3), st.sampled_from([-1.0, 1.0]), st.sampled_from(DIVERGENCES))
def test_without_roots_any_token(logp, shift, advantage, divergence):
    old = torch.tensor([[logp]], dtype=torch.float64)
    inputs = (old + shift).clamp_max(-1e-9), old, torch.tensor([[advantage]], dtype=torch.float64), torch.ones(1, 1)
    found = [result(inputs, method=f"band-{divergence}", bounds=b, metrics=False)[1] for b in (True, False)]
    assert torch.equal(*found)


@pytest.mark.parametrize("method", ["grpo", "maspo", "atr-grpo"])
def test_only_bands_have_roots_to_leave_out(method):
    with pytest.raises(ValueError, match=f"bounds=False with method='{method}': expected a band"):
        result(moved(), method=method, bounds=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": -1.0}, r"delta=-1\.0"),
        ({"lower": "up"}, "lower='up'"),
        ({"relax": 0.2}, "relax=0.2"),
        ({"max_ratio": 0.5}, "max_ratio=0.5"),
        ({"delta": torch.tensor(math.nan)}, "delta"),
    ],
)
def test_wrong_options_are_refused_without_roots_too(options, message):
    with pytest.raises(ValueError, match=message):
        result(moved(), method="band-kl", bounds=False, **options)
