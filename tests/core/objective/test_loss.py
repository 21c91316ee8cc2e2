import math

import pytest
import torch

import bandpo
from benchmarks import oracle

mp = oracle.mp
METHODS = (
    "grpo",
    "clip-higher",
    "dual-clip",
    "no-clip",
    "band-kl",
    "band-tv",
    "band-chi2",
    "band-upper",
    "band-mirror",
)
AGGREGATION_OPTIONS = [
    {"aggregation": "token-mean"},
    {"aggregation": "seq-mean-token-mean"},
    {"aggregation": "seq-mean-token-sum"},
    {"aggregation": "seq-mean-token-sum-norm", "max_tokens": 16},
]


def batch(rows=4, tokens=6, seed=0, spread=0.5):
    """logp, logp_old, advantages, mask with ragged rows; ratios within e^±spread or so, fp64."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(rows, tokens, generator=generator, dtype=torch.float64)  # noqa: E731
    logp_old = -torch.nn.functional.softplus(2 * draw())
    logp = (logp_old + spread * draw()).clamp_max(-1e-6)
    lengths = torch.randint(1, tokens + 1, (rows, 1), generator=generator)
    return logp, logp_old, draw(), torch.arange(tokens) < lengths


def value_and_gradient(logp, *args, **options):
    logp = logp.clone().requires_grad_()
    out = bandpo.policy_loss(logp, *args, **options)
    out.loss.backward()
    return out, logp.grad


def single(log_ratio, p, advantage, **options):
    """Loss and gradient of one token of old probability p."""
    logp_old = torch.tensor([[math.log(p)]], dtype=torch.float64)
    mask = torch.ones(1, 1, dtype=torch.bool)
    out, gradient = value_and_gradient(logp_old + log_ratio, logp_old, torch.tensor([[advantage]]), mask, **options)
    return out.loss.item(), gradient.item()


@pytest.mark.parametrize("p", [1e-4, 0.3, 0.99])
@pytest.mark.parametrize("advantage", [2.0, -2.0, 0.0])
def test_gradient_vanishes_exactly_past_the_bound_the_advantage_pushes_to(p, advantage):
    low = oracle.bound("kl", math.log(p), 0.05, upward=False).high
    high = oracle.bound("kl", math.log(p), 0.05, upward=True).high
    low = max(low, -19.0)
    for log_ratio, side in (
        (low * (1 - 1e-6), "inside"),
        (0.0, "inside"),
        (high * (1 - 1e-6), "inside"),
        (high + (-math.log(p) - high) / 2, "above"),
        (low * 1.01, "below"),
    ):
        loss, gradient = single(log_ratio, p, advantage, method="band-kl", delta=0.05)
        stopped = (side == "above" and advantage > 0) or (side == "below" and advantage < 0 and low > -19)
        if stopped:
            bound = high if side == "above" else low
            assert gradient == 0
            assert loss == pytest.approx(-advantage * math.exp(bound), rel=1e-9)
        else:
            assert gradient == pytest.approx(-advantage * math.exp(log_ratio), rel=1e-9)
            assert loss == pytest.approx(-advantage * math.exp(log_ratio), rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_loss_and_gradient_equal_textbook_ppo_in_ratio_space(method):
    logp, logp_old, advantages, mask = batch()
    out, gradient = value_and_gradient(logp, logp_old, advantages, mask, method=method)

    chosen = bandpo.get_method(method)
    low, high = chosen.interval(logp_old).ratio()
    leaf = logp.clone().requires_grad_()
    ratio = torch.exp(leaf - logp_old)
    loss = torch.maximum(-advantages * ratio, -advantages * torch.minimum(torch.maximum(ratio, low), high))
    if chosen.hyperparameters.get("dual_clip"):
        dual = -advantages * chosen.hyperparameters["dual_clip"]
        loss = torch.where(advantages < 0, torch.minimum(loss, dual), loss)
    (torch.where(mask, loss, 0).sum(-1) / mask.sum(-1)).mean().backward()

    torch.testing.assert_close(out.per_token, torch.where(mask, loss, 0).detach(), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["kl", "tv", "chi2", "hellinger", "reverse-kl", "js", "alpha=1.5"])
def test_tokens_stop_learning_exactly_where_g_exceeds_delta(name):
    """No root is needed to decide: a token is outside iff g_f(p, r) > δ on the side its advantage pushes to."""
    generator = torch.Generator().manual_seed(3)
    logp_old = -torch.nn.functional.softplus(4 * torch.randn(1, 200, generator=generator, dtype=torch.float64))
    logp = (logp_old + 0.4 * torch.randn(1, 200, generator=generator, dtype=torch.float64)).clamp_max(-1e-9)
    f, stopped = oracle.GENERATORS[name].f, []
    for old, new in zip(logp_old[0].tolist(), logp[0].tolist(), strict=True):
        p, q = mp.exp(old), mp.exp(new)
        stopped.append(bool(p * f(q / p) + (1 - p) * f((1 - q) / (1 - p)) > mp.mpf(0.05)))
    pushed = torch.sign(logp - logp_old)
    for advantages, expected in ((pushed, stopped), (-pushed, [False] * 200)):
        _, gradient = value_and_gradient(logp, logp_old, advantages, torch.ones(1, 200), method=f"band-{name}")
        assert (gradient == 0)[0].tolist() == expected
    assert 20 < sum(stopped) < 180


def test_decisions_survive_next_to_probability_one_in_fp32():
    """At p = 1 - 1e-5 the upper log-ratio bound is 1e-5: a ratio in fp32 could not tell the two sides apart."""
    logp_old = torch.full((1, 2), math.log1p(-1e-5), dtype=torch.float64)
    high = bandpo.get_divergence("tv").upper(logp_old, 5e-6)
    logp = logp_old + high * torch.tensor([[0.999, 1.001]], dtype=torch.float64)
    _, gradient = value_and_gradient(
        logp.float(), logp_old.float(), torch.ones(1), torch.ones(1, 2), method="band-tv", delta=5e-6
    )
    assert (gradient == 0).tolist() == [[False, True]]


def test_dual_clip_leaves_bad_tokens_alone_above_its_ratio():
    options = {"method": "band-kl", "dual_clip": 3.0}
    assert single(math.log(3.1), 0.01, -2.0, **options) == (pytest.approx(6.0), 0.0)
    assert single(math.log(2.9), 0.01, -2.0, **options) == (pytest.approx(5.8), pytest.approx(5.8))
    assert single(math.log(3.1), 0.01, 2.0, **options) == (pytest.approx(-6.2), pytest.approx(-6.2))


def test_on_policy_the_gradient_is_the_policy_gradient():
    _, logp_old, advantages, mask = batch()
    for method in METHODS:
        _, gradient = value_and_gradient(logp_old, logp_old, advantages, mask, method=method, aggregation="token-mean")
        torch.testing.assert_close(gradient, torch.where(mask, -advantages / mask.sum(), 0.0))


JUNK = (math.nan, math.inf, -math.inf, 7.0, -1e30)


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("options", AGGREGATION_OPTIONS)
def test_masked_positions_may_hold_anything(options, junk):
    logp, logp_old, advantages, mask = batch()
    logp_rollout, logp_ref, entropy = logp_old - 0.1, logp_old - 0.2, -logp_old
    delta = torch.full_like(logp, 0.05)
    extras = {"importance_cap": 1.05, "beta": 0.1, "dual_clip": 3.0, **options}

    def run(fill):
        names = {"logp_rollout": logp_rollout, "logp_ref": logp_ref, "entropy": entropy, "delta": delta}
        poisoned = [torch.where(mask, x, fill) for x in (logp, logp_old, advantages)]
        keywords = {name: torch.where(mask, x, fill) for name, x in names.items()}
        return value_and_gradient(*poisoned, mask, method="band-kl", **keywords, **extras)

    (clean, clean_gradient), (dirty, dirty_gradient) = run(-0.5), run(junk)
    assert torch.equal(dirty.loss, clean.loss)
    assert torch.equal(dirty.per_token, clean.per_token)
    assert torch.equal(dirty_gradient, clean_gradient)
    assert (dirty_gradient[~mask] == 0).all()
    for name, pair in clean.metrics.items():
        assert tuple(dirty.metrics[name]) == tuple(pair), name


@pytest.mark.parametrize("options", AGGREGATION_OPTIONS)
def test_padding_and_order_change_nothing(options):
    logp, logp_old, advantages, mask = batch()
    expected, gradient = value_and_gradient(logp, logp_old, advantages, mask, **options)
    order = torch.tensor([2, 0, 3, 1])
    permuted = [x[order] for x in (logp, logp_old, advantages, mask)]
    padded = [torch.nn.functional.pad(x, (0, 3, 0, 2)) for x in (logp, logp_old, advantages, mask)]
    for inputs, restore in ((permuted, lambda g: g[order.argsort()]), (padded, lambda g: g[:4, :6])):
        found, found_gradient = value_and_gradient(*inputs, **options)
        torch.testing.assert_close(found.loss, expected.loss)
        torch.testing.assert_close(restore(found_gradient), gradient)


@pytest.mark.parametrize("options", AGGREGATION_OPTIONS)
def test_micro_batches_with_a_common_denominator_sum_to_the_whole_batch(options):
    logp, logp_old, advantages, mask = batch()
    whole, gradient = value_and_gradient(logp, logp_old, advantages, mask, **options)
    denominator = mask.sum() if options["aggregation"] == "token-mean" else torch.tensor(4)
    parts = [
        value_and_gradient(*(x[rows] for x in (logp, logp_old, advantages, mask)), denominator=denominator, **options)
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(sum(out.loss for out, _ in parts), whole.loss)
    torch.testing.assert_close(torch.cat([gradient for _, gradient in parts]), gradient)


def test_importance_cap_weights_tokens_by_the_truncated_mismatch():
    logp, logp_old, advantages, mask = batch()
    rollout = logp_old - torch.linspace(0.1, 1, 6, dtype=torch.float64)
    plain, gradient = value_and_gradient(logp, logp_old, advantages, mask)
    weighted, weighted_gradient = value_and_gradient(
        logp, logp_old, advantages, mask, logp_rollout=rollout, importance_cap=1.5
    )
    weight = torch.exp(logp_old - rollout).clamp_max(1.5)
    torch.testing.assert_close(weighted.per_token, plain.per_token * weight)
    torch.testing.assert_close(weighted_gradient, gradient * weight)


def test_anchor_rollout_divides_by_the_sampler_and_takes_its_bounds():
    logp, logp_old, advantages, mask = batch()
    rollout = (logp_old - 0.3).clamp_max(-1e-3)
    found, gradient = value_and_gradient(logp, logp_old, advantages, mask, logp_rollout=rollout, anchor="rollout")
    expected, expected_gradient = value_and_gradient(logp, rollout, advantages, mask)
    torch.testing.assert_close(found.per_token, expected.per_token)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_reference_kl_is_added_with_its_weight(estimator):
    logp, logp_old, advantages, mask = batch()
    reference = logp_old - 0.3
    plain = bandpo.policy_loss(logp, logp_old, advantages, mask)
    found, gradient = value_and_gradient(
        logp, logp_old, torch.zeros(4), mask, logp_ref=reference, beta=0.2, kl_estimator=estimator
    )
    d = reference - logp
    kl = {"k1": -d, "k2": d**2 / 2, "k3": torch.exp(d) - 1 - d}[estimator]
    slope = {"k1": torch.ones_like(d), "k2": -d, "k3": 1 - torch.exp(d)}[estimator]
    torch.testing.assert_close(found.per_token, torch.where(mask, 0.2 * kl, 0.0))
    torch.testing.assert_close(gradient, torch.where(mask, 0.2 * slope / mask.sum(-1, keepdim=True) / 4, 0.0))
    both = bandpo.policy_loss(logp, logp_old, advantages, mask, logp_ref=reference, beta=0.2, kl_estimator=estimator)
    torch.testing.assert_close(both.per_token, plain.per_token + found.per_token.detach())


@pytest.mark.parametrize("options", AGGREGATION_OPTIONS)
def test_a_batch_without_tokens_is_zero_with_zero_gradient(options):
    logp, logp_old, advantages, mask = batch()
    out, gradient = value_and_gradient(logp, logp_old, advantages, torch.zeros_like(mask), **options)
    assert out.loss.item() == 0
    assert (gradient == 0).all()
    assert all(count.item() == 0 for _, count in out.metrics.values())


@pytest.mark.parametrize("method", METHODS)
def test_no_finite_input_gives_nan_or_infinity(method):
    values = [-1e-30, -1e-6, -0.5, -30.0, -200.0, -1e4, 0.0]
    logp, logp_old = (x.reshape(1, -1) for x in torch.meshgrid(*[torch.tensor(values)] * 2, indexing="ij"))
    for sign in (1.0, -1.0):
        out, gradient = value_and_gradient(
            logp,
            logp_old,
            torch.full((1,), sign),
            torch.ones_like(logp),
            method=method,
            logp_rollout=logp_old.flip(1),
            importance_cap=5.0,
            logp_ref=logp_old,
            beta=0.1,
        )
        assert torch.isfinite(out.per_token).all()
        assert torch.isfinite(gradient).all()
        assert all(torch.isfinite(total) for total, _ in out.metrics.values())


OPTIONS = [
    {"method": "grpo"},
    {"aggregation": "token-mean"},
    {"aggregation": "seq-mean-token-sum-norm", "max_tokens": 9},
    {"denominator": 7},
    {"importance_cap": 1.01},
    {"anchor": "rollout"},
    {"beta": 0.1, "use_ref": True},
    {"delta": 0.02},
    {"delta_low": 0.02},
    {"delta_high": 0.02},
    {"lower": "mirror"},
    {"lower": "none"},
    {"upper": "mirror"},
    {"upper": "none"},
    {"eps_low": 0.05},
    {"eps_high": 0.05},
    {"max_ratio": 1.05},
    {"relax": (0.5, 0.9)},
    {"dual_clip": 1.05},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options))
def test_every_option_changes_the_loss(options):
    logp, logp_old, advantages, mask = batch(seed=5)
    common = {"logp_rollout": logp_old - 0.2}
    reference = {"logp_ref": logp_old - 0.3} if options.pop("use_ref", False) else {}
    plain = bandpo.policy_loss(logp, logp_old, advantages, mask, **common)
    changed = bandpo.policy_loss(logp, logp_old, advantages, mask, **common, **reference, **options)
    assert abs(changed.loss.item() - plain.loss.item()) > 1e-4


def test_every_hyperparameter_of_the_band_is_among_the_options_tested():
    tested = {name for options in OPTIONS for name in options}
    assert set(bandpo.get_method("band-kl").hyperparameters) <= tested


def test_the_kl_estimator_changes_the_loss():
    logp, logp_old, advantages, mask = batch()
    losses = {
        bandpo.policy_loss(
            logp, logp_old, advantages, mask, logp_ref=logp_old - 0.3, beta=0.1, kl_estimator=estimator
        ).loss.item()
        for estimator in ("k1", "k2", "k3")
    }
    assert len(losses) == 3


def test_sequence_advantages_and_number_masks_are_taken():
    logp, logp_old, advantages, mask = batch()
    per_sequence = bandpo.policy_loss(logp, logp_old, advantages[:, 0], mask)
    per_token = bandpo.policy_loss(logp, logp_old, advantages[:, :1].expand(4, 6), mask.double())
    assert torch.equal(per_sequence.per_token, per_token.per_token)
    assert torch.equal(per_sequence.loss, bandpo.policy_loss(logp, logp_old, advantages[:, 0], mask.long()).loss)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_all_but_fp64_is_computed_in_fp32(dtype):
    logp, logp_old, advantages, mask = (x.to(dtype) if x.is_floating_point() else x for x in batch())
    out = bandpo.policy_loss(logp, logp_old, advantages, mask)
    same = bandpo.policy_loss(logp.float(), logp_old.float(), advantages.float(), mask)
    assert out.loss.dtype == out.per_token.dtype == torch.float32
    assert torch.equal(out.per_token, same.per_token)
    assert bandpo.policy_loss(*batch()).loss.dtype == torch.float64


def test_only_logp_gets_a_gradient():
    logp, logp_old, advantages, mask = batch()
    others = [x.clone().requires_grad_() for x in (logp_old, advantages, logp_old - 0.1, logp_old - 0.2, -logp_old)]
    leaf = logp.clone().requires_grad_()
    bandpo.policy_loss(
        leaf,
        others[0],
        others[1],
        mask,
        logp_rollout=others[2],
        importance_cap=2.0,
        logp_ref=others[3],
        beta=0.1,
        entropy=others[4],
    ).loss.backward()
    assert leaf.grad is not None
    assert all(x.grad is None for x in others)


def test_clipped_surrogate_is_the_per_token_loss():
    logp, logp_old, advantages, mask = batch()
    interval = bandpo.band(logp_old, 0.05)
    expected = bandpo.policy_loss(logp, logp_old, advantages, mask, dual_clip=2.0).per_token
    found = bandpo.clipped_surrogate(logp - logp_old, advantages, interval, dual_clip=2.0)
    torch.testing.assert_close(torch.where(mask, found, 0), expected)


def test_compiled_loss_gradient_and_metrics_equal_eager(compiled):
    logp, logp_old, advantages, mask = (x.float() if x.is_floating_point() else x for x in batch(rows=8, tokens=9))

    def loss(logp, logp_old, advantages, mask):
        return bandpo.policy_loss(
            logp,
            logp_old,
            advantages,
            mask,
            method="band-tv",
            dual_clip=3.0,
            logp_rollout=logp_old - 0.1,
            importance_cap=2.0,
            logp_ref=logp_old - 0.2,
            beta=0.1,
        )

    results = []
    for function in (loss, compiled(loss)):
        leaf = logp.clone().requires_grad_()
        out = function(leaf, logp_old, advantages, mask)
        out.loss.backward()
        results.append((out.loss.detach(), leaf.grad, out.per_token.detach(), out.metrics))
    (loss_e, grad_e, token_e, metrics_e), (loss_c, grad_c, token_c, metrics_c) = results
    torch.testing.assert_close(loss_c, loss_e, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad_c, grad_e, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(token_c, token_e, rtol=1e-5, atol=1e-6)
    for name, pair in metrics_e.items():
        torch.testing.assert_close(tuple(metrics_c[name]), tuple(pair), rtol=1e-5, atol=1e-6)


def test_compiled_loss_takes_searched_divergences(compiled):
    logp, logp_old, advantages, mask = batch()
    function = compiled(lambda *inputs: bandpo.policy_loss(*inputs, method="band-js").loss)
    expected = bandpo.policy_loss(logp, logp_old, advantages, mask, method="band-js").loss
    torch.testing.assert_close(function(logp, logp_old, advantages, mask), expected)


GOOD = (torch.full((2, 3), -1.0), torch.full((2, 3), -1.0), torch.ones(2), torch.ones(2, 3, dtype=torch.bool))


def call(position=None, value=None, **options):
    inputs = list(GOOD)
    if position is not None:
        inputs[position] = value
    return bandpo.policy_loss(*inputs, **options)


def poisoned(value):
    return torch.tensor([[-1.0, -1.0, -1.0], [-1.0, value, -1.0]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, poisoned(math.nan)), r"logp\[1, 1\] = nan: expected a finite log-prob, at most 0"),
        ((0, poisoned(-math.inf)), r"logp\[1, 1\] = -inf: expected a finite log-prob, at most 0"),
        ((1, poisoned(0.5)), r"logp_old\[1, 1\] = 0.5: expected a finite log-prob, at most 0"),
        ((2, poisoned(math.nan)), r"advantages\[1, 1\] = nan: expected a finite number"),
        ((2, torch.tensor([1.0, math.inf])), r"advantages\[1, 0\] = inf: expected a finite number"),
        ((2, torch.ones(3)), r"advantages has shape \(3,\): expected \(2,\) or \(2, 3\)"),
        ((1, torch.ones(2, 2)), r"logp_old has shape \(2, 2\): expected the shape of logp, \(2, 3\)"),
        ((3, torch.ones(2, 2)), r"mask has shape \(2, 2\): expected the shape of logp, \(2, 3\)"),
        ((0, torch.zeros(6)), r"logp has shape \(6,\): expected \(batch, tokens\)"),
    ],
)
def test_a_wrong_tensor_is_named_with_position_value_and_expectation(arguments, message):
    with pytest.raises(ValueError, match=message):
        call(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ppo"}, r"method='ppo': expected one of grpo, clip-higher, .* or band-alpha=NUMBER"),
        ({"aggregation": "mean"}, r"aggregation='mean': expected one of token-mean, "),
        ({"anchor": "new"}, r"anchor='new': expected one of 'old', 'rollout'"),
        ({"anchor": "rollout"}, r"anchor='rollout' needs logp_rollout, the sampler's log-probs"),
        ({"importance_cap": 2.0}, r"importance_cap=2.0 needs logp_rollout, the sampler's log-probs"),
        ({"importance_cap": 0.0, "logp_rollout": GOOD[0]}, r"importance_cap=0.0: expected 0 < importance_cap < inf"),
        (
            {"importance_cap": 2.0, "anchor": "rollout", "logp_rollout": GOOD[0]},
            r"importance_cap=2.0 with anchor='rollout': the ratio is already new/rollout",
        ),
        ({"beta": 0.1}, r"beta=0.1 with logp_ref missing: give both or none"),
        ({"logp_ref": GOOD[0]}, r"beta=0.0 with logp_ref given: give both or none"),
        ({"beta": -0.1, "logp_ref": GOOD[0]}, r"beta=-0.1: expected 0 <= beta < inf"),
        ({"kl_estimator": "k4"}, r"kl_estimator='k4': expected one of k1, k2, k3"),
        ({"dual_clip": 1.0}, r"dual_clip=1.0: expected 1 < dual_clip < inf"),
        ({"delta": -0.1}, r"delta=-0.1: expected 0 < delta < 20"),
        ({"logp_rollout": poisoned(math.nan)}, r"logp_rollout\[1, 1\] = nan: expected a finite log-prob"),
        ({"logp_ref": torch.ones(2, 2), "beta": 0.1}, r"logp_ref has shape \(2, 2\): expected the shape of logp"),
        ({"entropy": torch.ones(2)}, r"entropy has shape \(2,\): expected the shape of logp"),
        ({"max_tokens": 9}, r"max_tokens=9 with aggregation='seq-mean-token-mean': expected no max_tokens"),
    ],
)
def test_a_wrong_option_is_named_with_value_and_expectation(options, message):
    with pytest.raises(ValueError, match=message):
        call(**options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (),
            {"eps_low": 0.2, "method": "no-clip"},
            r"method 'no-clip' takes no 'eps_low'; its hyperparameters: dual_clip",
        ),
        ((), {"radius": 0.1}, r"method 'band-kl' takes no 'radius'; its hyperparameters: delta, delta_low"),
        ((0, torch.zeros(2, 3).long()), {}, r"logp: expected a floating-point tensor, got dtype torch.int64"),
        ((1, torch.zeros(2, 3).long()), {}, r"logp_old: expected a floating-point tensor, got dtype torch.int64"),
        ((2, torch.ones(2).long()), {}, r"advantages: expected a floating-point tensor, got dtype torch.int64"),
        ((2, [1.0, 1.0]), {}, r"advantages: expected a tensor, got list"),
        ((3, [[1.0]]), {}, r"mask: expected a tensor, got list"),
        ((), {"beta": "0.1"}, r"beta='0.1': expected a number"),
    ],
)
def test_a_wrong_type_is_named(arguments, options, message):
    with pytest.raises(TypeError, match=message):
        call(*arguments, **options)


def test_without_check_values_are_not_looked_at():
    assert torch.isnan(call(0, poisoned(math.nan), check=False).loss)


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 5)])
def test_advantages_of_a_row_may_have_a_column(shape):
    logp = torch.full((3, 5), -1.0)
    advantages = torch.arange(3.0).reshape(-1, 1).expand(3, 5)
    given = advantages if shape == (3, 5) else advantages[:, 0].reshape(shape)
    mask = torch.ones(3, 5)
    assert bandpo.policy_loss(logp, logp, given, mask).per_token.equal(
        bandpo.policy_loss(logp, logp, advantages, mask).per_token
    )


@pytest.mark.parametrize("shape", [(1, 3), (5,), (3, 2), (3, 1, 1), ()])
def test_advantages_of_another_shape_are_refused(shape):
    logp = torch.full((3, 5), -1.0)
    with pytest.raises(ValueError, match=r"expected \(3,\) or \(3, 5\)"):
        bandpo.policy_loss(logp, logp, torch.ones(shape), torch.ones(3, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool])
def test_a_mask_of_zeros_and_ones_is_taken_in_any_dtype(dtype):
    logp, mask = torch.full((1, 3), -1.0), torch.tensor([[1, 0, 1]])
    assert bandpo.policy_loss(logp, logp, torch.ones(1), mask.to(dtype)).metrics["clip"][1] == 2


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0, math.nan, 1e-30])
def test_a_mask_of_other_numbers_is_refused_at_its_position(value):
    logp, mask = torch.full((1, 3), -1.0), torch.tensor([[1.0, value, 0.0]])
    with pytest.raises(ValueError, match=r"mask\[0, 1\] = .*: expected 0 or 1"):
        bandpo.policy_loss(logp, logp, torch.ones(1), mask)


@pytest.mark.parametrize("name", ["logp_old", "advantages", "mask", "logp_rollout"])
def test_a_tensor_on_another_device_is_named(name):
    tensors = {"logp": torch.full((1, 3), -1.0), "logp_old": torch.full((1, 3), -1.0), "advantages": torch.ones(1, 3)}
    tensors |= {"mask": torch.ones(1, 3), "logp_rollout": torch.full((1, 3), -1.0)}
    tensors[name] = tensors[name].to("meta")
    with pytest.raises(ValueError, match=f"{name} is on meta: expected the device of logp, cpu"):
        bandpo.policy_loss(**tensors)


def test_unreduced_losses_are_pointed_to():
    logp = torch.full((1, 3), -1.0)
    with pytest.raises(ValueError, match="per_token"):
        bandpo.policy_loss(logp, logp, torch.ones(1), torch.ones(1, 3), aggregation="none")
    with pytest.raises(ValueError, match="did you mean 'token-mean'"):
        bandpo.policy_loss(logp, logp, torch.ones(1), torch.ones(1, 3), aggregation="token_mean")
