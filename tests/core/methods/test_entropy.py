import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy

import bandpo
from tests.core.batches import batch, gradients_of


def random_logits(rows=40, vocabulary=12, scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, vocabulary, generator=generator, dtype=torch.float64)


def by_hand(row, top_k=None, top_p=None):
    """TRE of one position: sort, take the likely ones, renormalise, scipy's entropy, scale."""
    row = np.sort(np.asarray(row, dtype=np.float64))[::-1]
    p = np.exp(row - row.max())
    p /= p.sum()
    if top_p is None:
        size = top_k
    else:
        exclusive = np.concatenate([[0.0], np.cumsum(p[:256])[:-1]])
        size = int((exclusive < top_p).sum())
    if size == 1:
        return -math.log(p[0]) if top_p is None else 0.0
    return scipy_entropy(p[:size]) * math.log(len(row)) / math.log(size)


def test_entropy_is_scipys():
    logits = random_logits()
    expected = scipy_entropy(torch.softmax(logits, -1).numpy(), axis=-1)
    np.testing.assert_allclose(bandpo.token_entropy(logits).numpy(), expected, rtol=1e-13)


@pytest.mark.parametrize("top_k", [1, 2, 3, 7, 12])
def test_entropy_among_the_k_likeliest_is_scipys_of_their_renormalised_probabilities(top_k):
    logits = random_logits()
    expected = [by_hand(row, top_k=top_k) for row in logits.tolist()]
    assert bandpo.trust_region_entropy(logits, top_k=top_k).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.9, 0.99, 0.999999])
@pytest.mark.parametrize("scale", [0.5, 2.0, 8.0])
def test_entropy_of_the_nucleus_is_scipys_of_its_renormalised_probabilities(top_p, scale):
    logits = random_logits(scale=scale)
    expected = [by_hand(row, top_p=top_p) for row in logits.tolist()]
    found = bandpo.trust_region_entropy(logits, top_p=top_p)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)
    assert (found >= 0).all()
    assert (found <= math.log(12) + 1e-12).all()


def test_a_nucleus_is_searched_among_the_256_likeliest():
    logits = 0.01 * random_logits(rows=3, vocabulary=1000)
    expected = [by_hand(row, top_p=0.9) for row in logits.tolist()]
    assert bandpo.trust_region_entropy(logits, top_p=0.9).tolist() == pytest.approx(expected, rel=1e-12)
    likely = logits.topk(256, -1).values
    widest = bandpo.token_entropy(likely) * math.log(1000) / math.log(256)
    torch.testing.assert_close(bandpo.trust_region_entropy(logits, top_p=0.9), widest)


def test_uniform_likely_tokens_have_the_entropy_of_a_uniform_vocabulary():
    logits = torch.tensor([3.0, 3.0, 3.0, -5.0, -9.0, -9.0], dtype=torch.float64)
    for options in ({"top_k": 3}, {"top_p": 0.9}):
        assert bandpo.trust_region_entropy(logits, **options).item() == pytest.approx(math.log(6), rel=1e-12)
    assert bandpo.trust_region_entropy(logits, top_p=0.3).item() == 0


OPTIONS = [{"top_k": 1}, {"top_k": 2}, {"top_k": 4}, {"top_p": 0.6}, {"top_p": 0.95}]


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_the_finite_differences_and_reach_the_likely_tokens_only(options):
    logits = random_logits(rows=20).requires_grad_()
    bandpo.trust_region_entropy(logits, **options).sum().backward()
    step, base = 1e-6, logits.detach()
    for column in range(12):
        shift = torch.zeros(12, dtype=torch.float64)
        shift[column] = step
        above, below = (bandpo.trust_region_entropy(base + sign * shift, **options) for sign in (1, -1))
        torch.testing.assert_close(logits.grad[:, column], (above - below) / (2 * step), rtol=1e-5, atol=1e-8)
    if options == {"top_k": 1}:
        return  # the min-entropy sees the whole vocabulary
    p = torch.softmax(base, -1)
    order = p.argsort(-1, descending=True)
    ranks = order.argsort(-1)
    before = p.gather(-1, order).cumsum(-1).gather(-1, ranks) - p
    inside = ranks < options["top_k"] if "top_k" in options else before < options["top_p"]
    assert (logits.grad[~inside] == 0).all()
    assert inside.any(-1).all() and not inside.all()
    assert ((logits.grad != 0).any(-1) == (inside.sum(-1) > 1)).all()


def test_entropy_gradients_are_minus_p_times_log_p_plus_entropy():
    logits = random_logits().requires_grad_()
    entropy = bandpo.token_entropy(logits)
    entropy.sum().backward()
    log_p = torch.log_softmax(logits.detach(), -1)
    torch.testing.assert_close(logits.grad, -log_p.exp() * (log_p + entropy.detach().unsqueeze(-1)))


@pytest.mark.parametrize("options", [None, *OPTIONS])
@pytest.mark.parametrize("allowed", [1, 2, 3])
def test_tokens_that_cannot_be_chosen_have_no_part(options, allowed):
    """-inf logits: values and gradients are finite, and those of the tokens that remain."""
    logits = torch.full((12,), -math.inf, dtype=torch.float64)
    logits[:allowed] = torch.tensor([1.0, 0.2, -0.5][:allowed])
    logits.requires_grad_()
    found = bandpo.token_entropy(logits) if options is None else bandpo.trust_region_entropy(logits, **options)
    found.backward()
    assert torch.isfinite(found) and torch.isfinite(logits.grad).all()
    assert (logits.grad[allowed:] == 0).all()
    short = logits.detach()[:allowed]
    if options is None:
        expected = bandpo.token_entropy(short).item()
    elif options.get("top_k", 0) > allowed:
        scale = math.log(12) / math.log(options["top_k"])
        expected = bandpo.token_entropy(short).item() * scale
    else:
        expected = by_hand(logits.tolist(), **options)
    assert found.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_all_but_fp64_is_computed_in_fp32(dtype):
    logits = random_logits(rows=4).to(dtype)
    for options in OPTIONS:
        found = bandpo.trust_region_entropy(logits, **options)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, bandpo.trust_region_entropy(logits.double(), **options).float())
    assert bandpo.token_entropy(logits).dtype == torch.float32


@pytest.mark.parametrize("huge", [1e4, 3e38])
def test_huge_logits_are_taken(huge):
    logits = torch.tensor([huge, huge, 0.0, -huge], requires_grad=True)
    for options in ({"top_k": 2}, {"top_p": 0.9}):
        found = bandpo.trust_region_entropy(logits, **options)
        assert torch.isfinite(found) and (huge > 1e5 or found.item() == pytest.approx(math.log(4)))
        (gradient,) = torch.autograd.grad(found, logits)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "top_k=None and top_p=None: give one of them"),
        ({"top_k": 2, "top_p": 0.9}, "top_k=2 and top_p=0.9: give one of them"),
        ({"top_k": 0}, "top_k=0: expected a whole number from 1 to the vocabulary's 12"),
        ({"top_k": 13}, "top_k=13: expected a whole number from 1 to"),
        ({"top_k": True}, "top_k=True: expected a whole number"),
        ({"top_k": 2.0}, "top_k=2.0: expected a whole number"),
        ({"top_p": 0.0}, "top_p=0.0: expected 0 < top_p < 1"),
        ({"top_p": 1.0}, "top_p=1.0: expected 0 < top_p < 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bandpo.trust_region_entropy(random_logits(), **options)


def test_logits_must_be_floating():
    with pytest.raises(TypeError, match=r"logits: expected a floating-point tensor, got dtype torch\.int64"):
        bandpo.token_entropy(torch.zeros(3).long())


# (base, hyperparameters of the base)
BASES = [("grpo", None), ("grpo", {"eps_low": 0.05}), ("band-kl", {"delta": 0.01}), ("maspo", {"sigma": 0.3})]


@pytest.mark.parametrize(("base", "base_kwargs"), BASES)
def test_the_bonus_is_subtracted_from_the_loss_of_its_base(base, base_kwargs):
    given = batch()
    _, plain = gradients_of(base, given, **(base_kwargs or {}))
    base_out, _ = gradients_of(base, given, **(base_kwargs or {}))
    entropies = {
        "entropy": given["entropy"],
        "tre": bandpo.trust_region_entropy(given["logits"], top_k=2),
    }
    for name, entropy in entropies.items():
        out, gradients = gradients_of(name, given, coef=0.02, base=base, base_kwargs=base_kwargs)
        expected = torch.where(given["mask"], base_out.per_token - 0.02 * entropy, 0.0)
        torch.testing.assert_close(out.per_token.detach(), expected.detach())
        torch.testing.assert_close(gradients["logp"], plain["logp"])
    mask = given["mask"].double()
    share = mask / mask.sum(-1, keepdim=True).clamp_min(1) / mask.any(-1).sum()
    _, gradients = gradients_of("entropy", given, coef=0.02, base=base, base_kwargs=base_kwargs)
    torch.testing.assert_close(gradients["entropy"], -0.02 * share)


@pytest.mark.parametrize("base", ["tre", "entropy", "dppo-topk-kl", "quatro", "clip-cov", "flex-entropy"])
def test_a_base_with_inputs_or_a_bonus_is_refused(base):
    for name in ("tre", "entropy"):
        with pytest.raises(ValueError, match=f"base='{base}': expected a method .*without inputs and without a bonus"):
            gradients_of(name, batch(), base=base)


def test_wrong_options_of_the_bonus_are_refused():
    with pytest.raises(TypeError, match="method 'grpo' takes no 'delta'"):
        gradients_of("entropy", batch(), base_kwargs={"delta": 0.1})
    with pytest.raises(ValueError, match=r"coef=-0\.1: expected 0 <= coef < inf"):
        gradients_of("tre", batch(), coef=-0.1)
    with pytest.raises(ValueError, match=r"top_k=2 and top_p=0\.9: give one of them"):
        gradients_of("tre", batch(), top_p=0.9)


def test_the_adaptive_coefficient_rises_below_the_target_and_falls_above_it():
    coef, path = 0.0, []
    for entropy in (0.1, 0.2, 0.3, 0.3, 0.3, 0.2):
        coef = bandpo.adaptive_entropy_coef(coef, entropy, 0.2, step=0.01)
        path.append(round(coef, 12))
    assert path == [0.01, 0.02, 0.01, 0.0, 0.0, 0.01]


def test_the_adaptive_coefficient_stays_in_its_range():
    assert bandpo.adaptive_entropy_coef(0.5, 0.1, 0.2, step=0.3, high=0.6) == 0.6
    assert bandpo.adaptive_entropy_coef(0.5, 0.3, 0.2, step=0.3, low=0.4) == 0.4
    assert bandpo.adaptive_entropy_coef(0.5, 0.3, 0.2, step=0.0) == 0.5
    assert bandpo.adaptive_entropy_coef(0.5, 0.2, 0.2) == 0.505


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((-0.1, 0.1, 0.2), {}, "coef=-0.1: expected 0 <= coef < inf"),
        ((0.1, math.nan, 0.2), {}, "entropy=nan: expected 0 <= entropy < inf"),
        ((0.1, 0.1, -0.2), {}, "target=-0.2: expected 0 <= target < inf"),
        ((0.1, 0.1, 0.2), {"step": -1.0}, "step=-1.0: expected 0 <= step < inf"),
        ((0.1, 0.1, 0.2), {"low": 0.5, "high": 0.4}, "high=0.4: expected 0.5 <= high < inf"),
    ],
)
def test_the_adaptive_coefficient_refuses_values_out_of_range(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        bandpo.adaptive_entropy_coef(*arguments, **options)
