"""What docs/identities.md states: which methods are the same, where they part, and which only look alike.

Decisions of two methods are compared exactly, except for tokens so close to a boundary that rounding decides.
"""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bandpo

DTYPES = (torch.float32, torch.float64)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["fp32", "fp64"])
BANDS = (*(f"band-{name}" for name in bandpo.divergences()), "band-alpha=1.5")
PAIRS = {"band-tv": "dppo-tv", "band-kl": "dppo-kl"}
PROBABILITIES = (1e-8, 1e-6, 1e-4, 1e-3, 0.01, 0.04, 0.06, 0.1, 0.3, 0.5, 0.7, 0.9, 0.94, 0.96, 0.99, 0.999, 1 - 1e-5)
RADII = (0.01, 0.05, 0.15, 0.4)

probabilities = st.floats(-14.0, 12.0).map(lambda x: 1 / (1 + math.exp(-x)))
radii = st.floats(1e-3, 0.6)
sides = st.sampled_from([1.7, -0.6])


def log(*values, dtype=torch.float64):
    """Logarithms of the values as one row; a value within rounding of 1 stays below it."""
    return torch.tensor([values], dtype=torch.float64).log().to(dtype).clamp_max(-torch.finfo(dtype).eps)


def learn(method, logp, logp_anchor, advantage, **options):
    """(loss, gradient of the loss with respect to logp), both per token, of one row; the anchor is the old policy's."""
    leaf = logp.clone().requires_grad_()
    advantages = torch.full_like(logp, advantage)
    options = {"anchor": "old", "aggregation": "seq-mean-token-sum", **options}
    out = bandpo.policy_loss(leaf, logp_anchor, advantages, torch.ones_like(logp), method=method, **options)
    out.loss.backward()
    assert leaf.grad is not None
    return out.per_token.detach(), leaf.grad


def grid(dtype, dense=40):
    """(logp, logp_old), one row: every pair of probabilities, and ratios dense around 1."""
    old = log(*PROBABILITIES, dtype=torch.float64).T
    near = torch.cat([-torch.logspace(-4, 1, dense), torch.logspace(-4, 1, dense)]).double()
    new = torch.cat([old.T.expand(len(old), -1), old + near], -1)
    old = old.expand_as(new)
    inside = new < -1e-6
    return new[inside].to(dtype)[None], old[inside].to(dtype)[None]


def beside_the_bounds(dtype, delta, divergence):
    """logp, logp_old, one row: tokens a little inside and a little outside both bounds of the band."""
    old = log(*PROBABILITIES)
    bounds = torch.cat(
        [side * (1 + offset) for side in bandpo.band(old, delta, divergence) for offset in (-2e-4, 2e-4)]
    )
    new, old = old + bounds, old.expand_as(bounds)
    inside = (new < -1e-6) & (bounds > -19)
    return new[inside].to(dtype)[None], old[inside].to(dtype)[None]


def at_the_boundary(logp, logp_old, delta, divergence):
    """Whether rounding may decide: moving δ by a few ulp, or the log-probs by some of their own, crosses g_f = δ."""
    eps = torch.finfo(logp.dtype).eps
    old, d = logp_old.double(), (logp - logp_old).double()
    few = 8 * eps * (1 + logp.abs() + logp_old.abs()).double()
    measure = [bandpo.projected_divergence(old, x.minimum(-old), divergence) for x in (d - few, d + few)]
    least, most = torch.minimum(*measure) * (1 - 64 * eps), torch.maximum(*measure) * (1 + 64 * eps)
    return (least <= delta) & (delta <= most)


# (a), (b), (c): a band is a mask


def assert_same_learning(method, rival, logp, logp_old, advantage, delta, **options):
    """Both stop the same tokens and give all others the same gradient, to the last bit but one."""
    divergence = method.removeprefix("band-")
    close = at_the_boundary(logp, logp_old, delta, divergence)
    _, ours = learn(method, logp, logp_old, advantage, delta=delta)
    _, theirs = learn(rival, logp, logp_old, advantage, delta=delta, max_ratio=1e300, **options)
    assert ((ours == 0) == (theirs == 0))[~close].all()
    both = (ours != 0) & (theirs != 0)
    torch.testing.assert_close(ours[both], theirs[both], rtol=2 * torch.finfo(logp.dtype).eps, atol=0)
    return close


@each_dtype
@pytest.mark.parametrize("method", PAIRS)
@pytest.mark.parametrize("delta", RADII)
@pytest.mark.parametrize("advantage", [1.7, -0.6])
def test_band_and_dppo_have_equal_gradients(method, dtype, delta, advantage):
    logp, logp_old = grid(dtype)
    close = assert_same_learning(method, PAIRS[method], logp, logp_old, advantage, delta)
    assert close.float().mean() < 0.02
    stopped = learn(method, logp, logp_old, advantage, delta=delta)[1] == 0
    assert stopped.sum() > 50 and (~stopped).sum() > 50


@each_dtype
@pytest.mark.parametrize("method", PAIRS)
@settings(deadline=None, max_examples=100)
@given(p=probabilities, q=probabilities, delta=radii, advantage=sides)
def test_band_and_dppo_have_equal_gradients_anywhere(method, dtype, p, q, delta, advantage):
    assert_same_learning(method, PAIRS[method], log(q, dtype=dtype), log(p, dtype=dtype), advantage, delta)


@each_dtype
@pytest.mark.parametrize("method", PAIRS)
@settings(deadline=None, max_examples=100)
@given(p=probabilities, delta=radii, advantage=sides, outward=st.sampled_from([-1, 1]))
def test_band_and_dppo_stop_within_a_few_ulp_of_the_same_ratio(method, dtype, p, delta, advantage, outward):
    old = log(p, dtype=dtype)
    interval = bandpo.band(old, delta, method.removeprefix("band-"))
    edge = interval.high if advantage > 0 else interval.low
    # A change of probability by an ulp is one of the log-ratio by 1/r ulp.
    few = 32 * torch.finfo(dtype).eps * (1 + 2 * old.abs() + edge.abs()) * (1 + torch.exp(-edge))
    logp = old + edge + outward * math.copysign(1, advantage) * few
    assume(2 * few.item() < edge.abs().item() < 19 and logp.item() < -1e-5)
    for name in (method, PAIRS[method]):
        _, gradient = learn(name, logp, old, advantage, delta=delta)
        assert (gradient.item() == 0) == (outward > 0), name


@pytest.mark.parametrize("method", PAIRS)
def test_band_and_dppo_have_different_loss_values(method):
    logp, logp_old = grid(torch.float64)
    for advantage in (1.7, -0.6):
        ours, gradient = learn(method, logp, logp_old, advantage)
        delta = bandpo.get_method(method).hyperparameters["delta"]
        theirs, _ = learn(PAIRS[method], logp, logp_old, advantage, delta=delta, max_ratio=1e300)
        assert (ours != theirs).all()
        assert ((ours * advantage < 0) & (theirs * advantage >= 0)).all()
        going, ratio = gradient != 0, torch.exp(logp - logp_old)
        torch.testing.assert_close(ours[going], (-advantage * ratio)[going])
        torch.testing.assert_close(theirs[going], (-advantage * ratio * logp)[going])
        assert (theirs[~going] == 0).all() and (ours[~going] != 0).all()


@pytest.mark.parametrize("method", PAIRS)
def test_as_released_band_and_dppo_differ_by_their_anchor(method):
    logp, logp_old, logp_rollout = log(0.24, 0.3), log(0.2, 0.3), log(0.1, 0.1)
    anchors = {"logp_rollout": logp_rollout, "delta": 0.1}

    def gradient(name, anchor):
        return learn(name, logp, logp_old, 1.0, anchor=anchor, **anchors)[1]

    assert bandpo.get_method(method).anchor == "old" and bandpo.get_method(PAIRS[method]).anchor == "rollout"
    assert not torch.equal(gradient(method, None), gradient(PAIRS[method], None))
    for anchor in ("old", "rollout"):
        torch.testing.assert_close(gradient(method, anchor), gradient(PAIRS[method], anchor))


@pytest.mark.parametrize("method", PAIRS)
def test_a_cap_a_dual_clip_or_a_truncation_parts_band_and_dppo(method):
    rare, risen = log(1e-3), log(0.02)
    plain = learn(method, risen, rare, 1.0)[1]
    delta = bandpo.get_method(method).hyperparameters["delta"]
    torch.testing.assert_close(plain, torch.full_like(plain, -20.0))
    torch.testing.assert_close(plain, learn(PAIRS[method], risen, rare, 1.0, delta=delta)[1])
    assert learn(method, risen, rare, 1.0, max_ratio=10.0)[1] == 0
    torch.testing.assert_close(learn(PAIRS[method], risen, rare, 1.0, delta=delta, max_ratio=10.0)[1], plain / 2)
    assert learn(method, risen, rare, -1.0, dual_clip=10.0)[1] == 0
    torch.testing.assert_close(learn(PAIRS[method], risen, rare, -1.0, delta=delta)[1], -plain)


def binary_kl(p, q):
    """KL(Bern p || Bern q), from the definition."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@settings(deadline=None, max_examples=100)
@given(p=st.floats(1e-4, 1 - 1e-4), q=st.floats(1e-4, 1 - 1e-4))
def test_the_projection_of_kl_is_binary_kl_and_that_of_tv_binary_tv(p, q):
    logp, log_ratio = log(p), log(q) - log(p)
    kl, tv = (bandpo.projected_divergence(logp, log_ratio, name).item() for name in ("kl", "tv"))
    assert kl == pytest.approx(binary_kl(p, q), rel=1e-9, abs=1e-13)
    assert tv == pytest.approx(abs(q - p), rel=1e-9, abs=1e-15)


@each_dtype
@pytest.mark.parametrize("method", BANDS)
@pytest.mark.parametrize("delta", [0.02, 0.3])
@pytest.mark.parametrize("advantage", [1.7, -0.6])
def test_every_band_is_a_mask_that_needs_no_root(method, dtype, delta, advantage):
    divergence = method.removeprefix("band-")
    (logp, logp_old), (close_logp, close_old) = grid(dtype), beside_the_bounds(dtype, delta, divergence)
    logp, logp_old = torch.cat([logp, close_logp], -1), torch.cat([logp_old, close_old], -1)
    d = logp - logp_old
    outward = d * advantage > 0
    stopped = outward & (bandpo.projected_divergence(logp_old, d, divergence) > delta)
    _, gradient = learn(method, logp, logp_old, advantage, delta=delta)
    close = at_the_boundary(logp, logp_old, delta, divergence)
    assert ((gradient == 0) == stopped)[~close].all()
    torch.testing.assert_close(gradient[~stopped & ~close], (-advantage * torch.exp(d))[~stopped & ~close])
    assert stopped.sum() > 20 and close.float().mean() < 0.03


# (d), (e): penalties


@settings(deadline=None, max_examples=100)
@given(r=st.floats(0.05, 5.0), eps=st.floats(0.02, 1.0), advantage=sides)
def test_spo_and_cfpo_are_one_formula(r, eps, advantage):
    """SPO maximises A r - |A| (r - 1)²/(2 ε); CFPO minimises the negative of the same."""
    assert bandpo.get_method("spo") is bandpo.get_method("cfpo")
    logp_old = log(0.1)
    logp = logp_old + math.log(r)
    for name in ("spo", "cfpo"):
        loss, gradient = learn(name, logp, logp_old, advantage, eps=eps)
        expected = -(advantage * r - abs(advantage) * (r - 1) ** 2 / (2 * eps))
        assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
        # Least at r = 1 + ε sign A, where PPO's clip of the same ε stops.
        weight = -gradient.item() / (advantage * r)
        assert weight == pytest.approx(1 - math.copysign(1, advantage) * (r - 1) / eps, rel=1e-9, abs=1e-9)
        if abs(weight) > 1e-6 and (r - 1) * advantage > 0:
            clipped = learn("grpo", logp, logp_old, advantage, eps_low=min(eps, 0.999999), eps_high=eps)[1].item()
            assert (weight < 0) == (clipped == 0)


@each_dtype
@pytest.mark.parametrize("delta", RADII)
@pytest.mark.parametrize("advantage", [1.7, -0.6])
def test_drpo_turns_at_the_boundary_of_binary_tv(dtype, delta, advantage):
    """w = 1 - sign(A (r - 1)) |q - μ|/δ: positive where DPPO-TV keeps an outward token, negative where it drops it."""
    logp, anchor = grid(dtype, dense=20)
    ratio, mu = torch.exp((logp - anchor).double()), torch.exp(anchor.double())
    _, gradient = learn("drpo", logp, anchor, advantage, delta=delta)
    weight = -gradient.double() / (advantage * ratio)
    expected = 1 - torch.sign(advantage * (ratio - 1)) * (mu * (ratio - 1)).abs() / delta
    tolerance = 64 * torch.finfo(dtype).eps
    torch.testing.assert_close(weight, expected, rtol=tolerance, atol=tolerance / delta)
    for name, options in (("dppo-tv", {"max_ratio": 1e300}), ("band-tv", {})):
        _, kept = learn(name, logp, anchor, advantage, delta=delta, **options)
        clear = ~at_the_boundary(logp, anchor, delta, "tv") & (weight.abs() > tolerance / delta)
        assert ((weight > 0) == (kept != 0))[clear].all()
        assert (weight[clear] > 0).any() and (weight[clear] < 0).any()


@settings(deadline=None, max_examples=100)
@given(p=st.floats(1e-4, 0.99), q=st.floats(1e-4, 0.99), delta=radii, advantage=sides)
def test_drpo_is_cfpo_with_eps_delta_over_mu(p, q, delta, advantage):
    logp, anchor = log(q), log(p)
    drpo = learn("drpo", logp, anchor, advantage, delta=delta)
    cfpo = learn("cfpo", logp, anchor, advantage, eps=delta / p)
    for ours, theirs in zip(drpo, cfpo, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_drpo_with_its_authors_radius_hardly_acts():
    logp, anchor = grid(torch.float64)
    for advantage in (1.7, -0.6):
        weight = -learn("drpo", logp, anchor, advantage)[1] / (advantage * torch.exp(logp - anchor))
        assert (weight - 1).abs().max() <= 1 / 12.5


# (f), (g): clips


@each_dtype
@settings(deadline=None, max_examples=100)
@given(r=st.floats(0.05, 20.0), limit=st.floats(1.25, 10.0), advantage=sides)
def test_two_sided_and_dual_clip_are_one(dtype, r, limit, advantage):
    """TRL's `delta` and INTELLECT-2: -min(min(r, δ) A, clip(r) A); dual clip: min(max(-A r, -A clip(r)), -A c)."""
    logp_old = log(0.01, dtype=dtype)
    logp = (logp_old + math.log(r)).to(dtype)
    leaf = logp.clone().requires_grad_()
    ratio = torch.exp(leaf - logp_old)
    clipped = ratio.clamp(0.8, 1.2)
    trl = -torch.minimum(ratio.clamp(max=limit) * advantage, clipped * advantage)
    pessimistic = torch.maximum(-ratio * advantage, -clipped * advantage)
    dual = torch.minimum(pessimistic, torch.full_like(ratio, -advantage * limit)) if advantage < 0 else pessimistic
    torch.testing.assert_close(trl, dual)
    (gradient,) = torch.autograd.grad(trl.sum(), leaf)
    if min(abs(r - edge) for edge in (0.8, 1.2, limit)) < 1e-5:
        return
    found = [learn(name, logp, logp_old, advantage, dual_clip=limit) for name in ("two-sided", "dual-clip")]
    for loss, gradient_of_ours in found:
        torch.testing.assert_close(loss, trl.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(gradient_of_ours, gradient, rtol=1e-5, atol=1e-5)


@each_dtype
@settings(deadline=None, max_examples=100)
@given(p=probabilities, r=st.floats(0.05, 20.0), eps_low=st.floats(0, 0.9), eps_high=st.floats(0, 2), advantage=sides)
def test_gspo_of_one_token_is_ppo(dtype, p, r, eps_low, eps_high, advantage):
    logp_old = log(p, dtype=dtype)
    logp = (logp_old + math.log(r)).clamp_max(-1e-7).to(dtype)
    clip = {"eps_low": eps_low, "eps_high": eps_high}
    for gspo, ppo in zip(*(learn(name, logp, logp_old, advantage, **clip) for name in ("gspo", "grpo")), strict=True):
        assert torch.equal(gspo, ppo)


def test_gspo_of_two_tokens_is_not_ppo():
    logp, logp_old = log(0.3, 0.1), log(0.2, 0.1)
    _, gspo = learn("gspo", logp, logp_old, 1.0, eps_low=0.3, eps_high=0.3)
    _, ppo = learn("grpo", logp, logp_old, 1.0, eps_low=0.3, eps_high=0.3)
    torch.testing.assert_close(gspo, torch.full_like(gspo, -math.sqrt(1.5)))
    torch.testing.assert_close(ppo, torch.tensor([[0.0, -1.0]], dtype=torch.float64))


# (h): one update per rollout


def inputs_at_ratio_one(logp, generator):
    """Whatever any method needs, for tokens whose policy is its anchor; the groups' rewards are not all equal."""
    rows, tokens = logp.shape
    listed = torch.log_softmax(torch.randn(rows, tokens, 9, generator=generator, dtype=logp.dtype), -1)[..., :4]
    return {
        "topk_logp": listed,
        "topk_logp_rollout": listed,
        "noise": torch.rand(rows, tokens, generator=generator, dtype=logp.dtype),
        "group_rewards": torch.randn(rows, 4, generator=generator, dtype=logp.dtype),
        "logits": torch.randn(rows, tokens, 9, generator=generator, dtype=logp.dtype),
        "entropy": torch.rand(rows, tokens, generator=generator, dtype=logp.dtype),
        "progress": 0.3,
        "boost": 1.0,
    }


def gradient_at_ratio_one(name, dtype, **options):
    generator = torch.Generator().manual_seed(3)
    logp = torch.log(torch.rand(8, 16, generator=generator, dtype=dtype))
    advantages = 2 * torch.randn(8, 1, generator=generator, dtype=dtype).expand(8, 16)
    inputs = inputs_at_ratio_one(logp, generator)
    method = bandpo.get_method(name)
    leaf = logp.clone().requires_grad_()
    out = bandpo.policy_loss(
        leaf,
        logp,
        advantages,
        torch.ones_like(logp),
        method=name,
        logp_rollout=logp,
        aggregation="seq-mean-token-sum",
        **{key: inputs[key] for key in method.inputs},
        **options,
    )
    out.loss.backward()
    assert leaf.grad is not None
    return 8 * leaf.grad, advantages


@each_dtype
@pytest.mark.parametrize("name", [*bandpo.methods(), "band-alpha=1.5"])
def test_with_ratio_one_every_method_but_clip_cov_is_the_policy_gradient(name, dtype):
    """-A for every token, SAPO's to rounding; Clip-Cov drops its random few whatever the ratio."""
    gradient, advantages = gradient_at_ratio_one(name, dtype)
    rounding = 4 * torch.finfo(dtype).eps * advantages.abs() if name == "sapo" else 0.0
    same = (gradient + advantages).abs() <= rounding
    if name == "clip-cov":
        assert (~same).sum() == 1 and (gradient[~same] == 0).all()
    else:
        assert same.all()


@pytest.mark.parametrize("strategy", ["id", "did", "od"])
@pytest.mark.parametrize("progress", [0.0, 0.5, 0.7, 1.0])
def test_with_ratio_one_flex_entropy_is_the_policy_gradient_at_any_time(strategy, progress):
    logp = log(*PROBABILITIES)
    for advantage in (1.7, -0.6):
        options = {"strategy": strategy, "progress": progress, "boost": round(progress)}
        _, gradient = learn("flex-entropy", logp, logp, advantage, **options)
        assert torch.equal(gradient, torch.full_like(gradient, -advantage))


def test_with_ratio_one_quatro_leaves_a_group_of_equal_rewards_alone():
    """Its advantages are 0 then, so that the policy gradient is too."""
    logp = log(0.3, 0.6)
    _, gradient = learn("quatro", logp, logp, 1.0, group_rewards=torch.ones(1, 4, dtype=torch.float64))
    assert (gradient == 0).all()


# (i): limits


def reach(name, p, **options):
    """Largest new probability that a method allows a token of old probability p."""
    logp = torch.tensor([p], dtype=torch.float64).log()
    return torch.exp(logp + bandpo.get_method(name).interval(logp, **options).high).item()


def floor(name, p, **options):
    """Smallest ratio that a method allows a token of old probability p."""
    logp = torch.tensor([p], dtype=torch.float64).log()
    return torch.exp(bandpo.get_method(name).interval(logp, **options).low).item()


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.2])
def test_largest_reachable_probability_of_rare_tokens(delta):
    p = 1e-9
    limits = {
        "kl": 1 - math.exp(-delta),
        "tv": delta,
        "hellinger": delta - delta**2 / 4,
        "neyman-chi2": delta / (1 + delta),
        "le-cam": 2 * delta / (2 + delta),
    }
    for name, limit in limits.items():
        assert reach(f"band-{name}", p, delta=delta) == pytest.approx(limit, rel=1e-3), name
    for rare in (1e-9, 1e-3, 0.3):
        assert reach("band-tv", rare, delta=delta) == pytest.approx(rare + delta, rel=1e-12)
        expected = rare + math.sqrt(delta * rare * (1 - rare))
        assert reach("band-chi2", rare, delta=delta) == pytest.approx(expected, rel=1e-12)
    assert reach("band-chi2", p, delta=delta) / math.sqrt(delta * p) == pytest.approx(1, rel=1e-3)
    for name in ("reverse-kl", "jeffreys"):
        shares = [reach(f"band-{name}", rare, delta=delta) / (delta / math.log(1 / rare)) for rare in (1e-12, 1e-36)]
        assert 1 < shares[1] < shares[0] < 1.5


def test_largest_reachable_probability_of_rare_tokens_under_clips():
    for p in (1e-9, 1e-4):
        assert reach("grpo", p) / p == pytest.approx(1.2)
        assert reach("clip-higher", p) / p == pytest.approx(1.28)
        assert reach("atr-grpo", p) / p == pytest.approx(1.350403, rel=1e-6)
        assert reach("dcpo", p) / p == pytest.approx(10.0)
        assert reach("flex-entropy", p, progress=0.0) / p == pytest.approx(1.5, rel=1e-4)
        assert reach("dcpo", p, max_ratio=1e9) == pytest.approx(p / 2 + math.sqrt(p * p / 4 + 0.2 * p), rel=1e-12)
        assert reach("band-kl", p, max_ratio=10.0) / p == pytest.approx(10.0)
    assert reach("dcpo", 1e-9, max_ratio=1e9) / math.sqrt(0.2e-9) == pytest.approx(1, rel=1e-3)
    # The cap of 10 binds for (10 - 1) 10 p < ε.
    assert reach("dcpo", 0.99 * 0.2 / 90) / (0.99 * 0.2 / 90) == pytest.approx(10)
    assert reach("dcpo", 1.01 * 0.2 / 90) / (1.01 * 0.2 / 90) < 9.99


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.2])
def test_smallest_ratio_of_rare_and_of_likely_tokens(delta):
    rare, likely = 1e-3, 1 - 1e-9
    assert floor("band-tv", rare, delta=delta) == floor("band-chi2", rare, delta=delta) == 0
    assert 0 < floor("band-kl", rare, delta=delta) < math.exp(-delta / rare)
    assert floor("band-mirror", rare, delta=delta) >= 1 - rare
    assert floor("dcpo", rare) == 0.5 and floor("grpo", rare) == pytest.approx(0.8)
    assert floor("band-kl", likely, delta=delta) == pytest.approx(math.exp(-delta), rel=1e-6)
    assert floor("band-tv", likely, delta=delta) == pytest.approx(1 - delta, rel=1e-6)
    assert floor("band-chi2", likely, delta=delta) == pytest.approx(1, abs=1e-4)
    assert floor("dcpo", likely) == pytest.approx(0.8) and reach("dcpo", likely) > 1.17
    assert all(reach(f"band-{name}", likely, delta=delta) <= 1 for name in bandpo.divergences())


# (j): what only looks alike


def test_atr_grpo_is_no_band_it_does_not_look_at_the_probability():
    logp = log(*PROBABILITIES)[0]
    kl3 = bandpo.get_method("atr-grpo").interval(logp)
    assert (kl3.low == kl3.low[0]).all() and (kl3.high == kl3.high[0]).all()
    for name in BANDS:
        assert (bandpo.get_method(name).interval(logp).high.diff() < 0).all()
    # Band-KL's measure is the mean of KL3 over the two events "this token" and "any other".
    p, r = 0.3, 1.4
    left = (1 - r * p) / (1 - p)
    mean = p * (r - 1 - math.log(r)) + (1 - p) * (left - 1 - math.log(left))
    assert bandpo.projected_divergence(log(p), log(r * p) - log(p)).item() == pytest.approx(mean, rel=1e-12)


def test_dcpo_is_no_band_it_bounds_the_product_of_ratio_and_change():
    p = log(*PROBABILITIES)[0]
    interval = bandpo.get_method("dcpo").interval(p, max_ratio=1e300)
    high, low = interval.high.exp(), interval.low.exp()
    product = high * (high - 1) * p.exp()
    torch.testing.assert_close(product, torch.full_like(product, 0.2))
    wide = p.exp() > 4 * 0.16
    torch.testing.assert_close((low * (1 - low) * p.exp())[wide], torch.full_like(p[wide], 0.16))
    assert (low[~wide] == 0.5).all()
    # The change of probability it allows is not one δ, and the χ² it allows is one only for rare tokens.
    change = (high - 1) * p.exp()
    assert change.max() / change.min() > 1000
    chi2 = bandpo.projected_divergence(p, interval.high, "chi2")
    assert chi2[0].item() == pytest.approx(0.2, rel=1e-3) and not 0.1 < chi2[8].item() < 0.3


def test_spo_is_no_chi2_band_its_edge_is_the_same_for_every_token():
    eps = delta = 0.2
    rare, even = log(0.01), log(0.5)
    for old, edge in ((rare, math.sqrt(delta * 0.99 / 0.01)), (even, math.sqrt(delta))):
        before, past = math.log(1 + 0.99 * edge), math.log(1 + 1.01 * edge)
        assert learn("band-chi2", old + before, old, 1.0, delta=delta)[1] < 0
        assert learn("band-chi2", old + past, old, 1.0, delta=delta)[1] == 0
        assert learn("spo", old + math.log(1 + 0.99 * eps), old, 1.0, eps=eps)[1] < 0
        assert learn("spo", old + math.log(1 + 1.01 * eps), old, 1.0, eps=eps)[1] > 0


@pytest.mark.parametrize("divergence", ["tv", "kl"])
@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6), spread=st.floats(0.05, 1.5), delta=radii, advantage=sides)
def test_top_k_dppo_stops_every_token_that_binary_dppo_stops(divergence, seed, spread, delta, advantage):
    """Merging events loses divergence: the binary one is never above that over the listed tokens."""
    generator = torch.Generator().manual_seed(seed)
    sampler = torch.log_softmax(2 * torch.randn(1, 20, 9, generator=generator, dtype=torch.float64), -1)
    step = spread * torch.randn(1, 20, 9, generator=generator, dtype=torch.float64)
    policy = torch.log_softmax(sampler + step, -1)
    listed = {"topk_logp": policy[..., :5], "topk_logp_rollout": sampler[..., :5]}
    logp, rollout = policy[..., 0], sampler[..., 0]
    binary = bandpo.projected_divergence(rollout, logp - rollout, divergence)
    top_k = bandpo.top_k_divergence(listed["topk_logp"], listed["topk_logp_rollout"], divergence)
    assert (binary <= top_k * (1 + 1e-12) + 1e-14).all()
    _, few = learn(f"dppo-{divergence}", logp, rollout, advantage, delta=delta)
    _, many = learn(f"dppo-topk-{divergence}", logp, rollout, advantage, delta=delta, **listed)
    assert (many[few == 0] == 0).all()


@pytest.mark.parametrize("divergence", ["tv", "kl"])
def test_top_k_dppo_is_binary_dppo_for_two_events(divergence):
    sampler, policy = (torch.tensor([[[p, 1 - p]]], dtype=torch.float64).log() for p in (0.3, 0.45))
    top_k = bandpo.top_k_divergence(policy[..., :1], sampler[..., :1], divergence)
    binary = bandpo.projected_divergence(sampler[..., 0], (policy - sampler)[..., 0], divergence)
    torch.testing.assert_close(top_k, binary)


def test_top_k_dppo_sees_moves_among_other_tokens():
    """The sampled token hardly moves, others do: over δ for top-K, not for binary."""
    sampler, policy = (torch.tensor([[p]], dtype=torch.float64).log() for p in ([0.3, 0.6, 0.1], [0.31, 0.1, 0.59]))
    listed = {"topk_logp": policy, "topk_logp_rollout": sampler}
    logp, rollout = policy[..., 0], sampler[..., 0]
    assert learn("dppo-tv", logp, rollout, 1.0)[1] < 0
    assert learn("dppo-topk-tv", logp, rollout, 1.0, **listed)[1] == 0


def test_cispo_is_no_clip_below_its_cap_in_gradient_only():
    logp, logp_old = log(0.4, 0.1, 0.3), log(0.1, 0.4, 0.05)
    (loss, gradient), (plain_loss, plain) = (learn(name, logp, logp_old, 1.0) for name in ("cispo", "no-clip"))
    torch.testing.assert_close(gradient[:, :2], plain[:, :2])
    assert gradient[0, 2].item() == pytest.approx(-5.0) and plain[0, 2].item() == pytest.approx(-6.0)
    assert (loss != plain_loss).all()
