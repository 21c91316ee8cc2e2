"""What every method of the registry must do, at its authors' hyperparameters and at a tight setting."""

import inspect
import itertools
import math

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

import bandpo
from tests.core.batches import (
    LEAVES,
    NAMES,
    SETTING_IDS,
    SETTINGS,
    TIGHT,
    anchor_of,
    batch,
    each_tensor,
    gradients_of,
    inputs_of,
    loss_of,
    stopped,
    surrogate_of,
    to,
)
from tests.core.helpers import IS_WHOLE, OF_WHOLE
from tests.methods import ENTRIES
from tests.methods.common import never

every_setting = pytest.mark.parametrize(("name", "options"), SETTINGS, ids=SETTING_IDS)
every_method = pytest.mark.parametrize("name", NAMES)
AGGREGATION_OPTIONS = [
    {"aggregation": "token-mean"},
    {"aggregation": "seq-mean-token-mean"},
    {"aggregation": "seq-mean-token-sum"},
    {"aggregation": "seq-mean-token-sum-norm", "max_tokens": 16},
]


def assert_same(found, expected, **tolerance):
    """Two results of `gradients_of`: loss, loss per token, gradients and metrics."""
    (out, gradients), (expected_out, expected_gradients) = found, expected
    torch.testing.assert_close(out.loss, expected_out.loss, **tolerance)
    torch.testing.assert_close(out.per_token, expected_out.per_token, **tolerance)
    assert set(gradients) == set(expected_gradients)
    for key, gradient in expected_gradients.items():
        torch.testing.assert_close(gradients[key], gradient, **tolerance)
    assert_same_metrics(out.metrics, expected_out.metrics)


def assert_same_metrics(found, expected, rtol=1e-5, atol=1e-5):
    assert set(found) == set(expected)
    for key, pair in expected.items():
        doubles = [torch.stack(tuple(each)).double() for each in (found[key], pair)]
        torch.testing.assert_close(*doubles, rtol=rtol, atol=atol)


@every_setting
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_the_gradient_in_closed_form_is_the_derivative_of_the_loss(name, options, spread):
    given = batch(spread=spread)
    surrogate, logp = surrogate_of(name, given, **options)
    (derivative,) = torch.autograd.grad(surrogate.loss.sum(), logp)
    inside = given["mask"]
    torch.testing.assert_close(surrogate.gradient[inside], derivative[inside], rtol=1e-10, atol=1e-12)
    assert surrogate.loss.shape == surrogate.gradient.shape == logp.shape
    assert not surrogate.gradient.requires_grad
    assert (derivative[inside] != 0).any()


@every_setting
def test_the_derivative_of_a_long_response_is_in_closed_form_too(name, options):
    """Ratios up to e^±20, past every cap, guard and clamp; a sigmoid that far out keeps no digit of its own tail."""
    given = batch(seed=4)
    given["logp_old"] = given["logp_rollout"] = torch.linspace(-45, -25, 35, dtype=torch.float64).reshape(5, 7)
    given["logp"] = given["logp_old"] + torch.linspace(19.5, -19.5, 35, dtype=torch.float64).reshape(5, 7)
    surrogate, logp = surrogate_of(name, given, **options)
    (derivative,) = torch.autograd.grad(surrogate.loss.sum(), logp)
    inside = given["mask"]
    atol = 1e-12 if name != "sapo" else 1e-14 * math.exp(20)
    torch.testing.assert_close(surrogate.gradient[inside], derivative[inside], rtol=1e-10, atol=atol)


@every_setting
def test_the_gradient_is_zero_exactly_where_the_method_says(name, options):
    hyperparameters = bandpo.get_method(name).resolve(options)
    counts = {True: 0, False: 0}
    for seed, spread in ((0, 0.1), (1, 0.3), (2, 1.0)):
        given = batch(rows=8, tokens=8, seed=seed, spread=spread)
        _, gradients = gradients_of(name, given, **options)
        learning = given["mask"] & (given["advantages"] != 0)
        expected = torch.from_numpy(stopped(name, given, hyperparameters))[learning]
        assert torch.equal(gradients["logp"][learning] == 0, expected)
        assert (gradients["logp"][~given["mask"]] == 0).all()
        for decision in counts:
            counts[decision] += (expected == decision).sum().item()
    assert counts[False] > 20
    if ENTRIES[name].stops is not never:
        assert counts[True] >= (3 if options else ENTRIES[name].stopped)


def test_without_an_advantage_only_penalties_act():
    given = batch()
    given["advantages"] = torch.zeros(5, 7, dtype=torch.float64)
    for name, options in SETTINGS:
        _, gradients = gradients_of(name, given, **options)
        assert (gradients["logp"] != 0).any() == ENTRIES[name].moves_without_advantage, name


@pytest.mark.parametrize(("sign", "eps"), [(1.0, 0.2), (-1.0, 0.2), (1.0, 0.05), (-1.0, 0.05)])
def test_penalties_turn_the_gradient_at_their_edge(sign, eps):
    """CFPO at r = 1 + ε sign A, DRPO at |q - μ| = δ: pushed on before it, brought back past it."""
    p = 0.5
    for name, option, edge in (("cfpo", "eps", 1 + sign * eps), ("drpo", "delta", 1 + sign * eps / p)):
        for ratio, pushes in ((1 + 0.999 * (edge - 1), True), (1 + 1.001 * (edge - 1), False)):
            anchor = torch.tensor([[math.log(p)]], dtype=torch.float64)
            logp = (anchor + math.log(ratio)).requires_grad_()
            advantages = torch.tensor([[sign]], dtype=torch.float64)
            out = bandpo.policy_loss(
                logp, anchor, advantages, torch.ones(1, 1), method=name, logp_rollout=anchor, **{option: eps}
            )
            out.loss.backward()
            assert (-logp.grad.item() * sign > 0) == pushes


JUNK = (math.nan, math.inf, -math.inf, 7.0, -1e30)


@every_setting
def test_masked_positions_may_hold_anything(name, options):
    given = batch()
    expected = gradients_of(name, given, **options)
    for junk in JUNK:

        def fill(key, x, junk=junk):
            if key == "mask":
                return x
            outside = ~given["mask"].any(-1) if key == "group_rewards" else ~given["mask"]
            outside = outside.reshape(outside.shape + (1,) * (x.dim() - outside.dim()))
            return torch.where(outside, junk, x)

        assert_same(gradients_of(name, each_tensor(given, fill), **options), expected, rtol=0, atol=0)


@every_setting
def test_masked_tokens_have_no_part_in_the_surrogate_of_the_others(name, options):
    """`Method.apply` sees finite values there, and must not mix them into a response's or a batch's means."""
    given = batch()
    inside = given["mask"]
    expected, _ = surrogate_of(name, given, **options)
    moved = {**given, "logp": torch.where(inside, given["logp"], given["logp"] - 1.5)}
    found, _ = surrogate_of(name, moved, **options)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one[inside], other[inside])


@every_setting
def test_padding_changes_nothing(name, options):
    def pad(key, x):
        value = {"mask": False, "advantages": 3.0}.get(key, -2.0)
        columns = (0, 0) * (x.dim() - 2) + ((0, 0) if key == "group_rewards" else (0, 3))
        return torch.nn.functional.pad(x, (*columns, 0, 2), value=value)

    given = batch()
    for aggregation in AGGREGATION_OPTIONS:
        expected_out, expected = gradients_of(name, given, **aggregation, **options)
        out, gradients = gradients_of(name, each_tensor(given, pad), **aggregation, **options)
        torch.testing.assert_close(out.loss, expected_out.loss, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(out.per_token[:5, :7], expected_out.per_token, rtol=1e-12, atol=1e-14)
        for key, gradient in expected.items():
            torch.testing.assert_close(gradients[key][:5, :7], gradient, rtol=1e-12, atol=1e-14)
            assert gradients[key].count_nonzero() == gradient.count_nonzero()
        assert_same_metrics(out.metrics, expected_out.metrics)


@every_setting
def test_the_order_of_responses_changes_nothing(name, options):
    given, order = batch(), torch.tensor([3, 0, 4, 2, 1])
    expected_out, expected = gradients_of(name, given, **options)
    out, gradients = gradients_of(name, each_tensor(given, lambda _, x: x[order]), **options)
    torch.testing.assert_close(out.loss, expected_out.loss, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(out.per_token, expected_out.per_token[order], rtol=1e-12, atol=1e-14)
    for key, gradient in expected.items():
        torch.testing.assert_close(gradients[key], gradient[order], rtol=1e-12, atol=1e-14)
    assert_same_metrics(out.metrics, expected_out.metrics)


def in_two_parts(name, given, options, **aggregation):
    """Loss, gradient with respect to logp and metrics of a batch taken in two parts with a common denominator."""
    mask = given["mask"]
    count = (mask.sum() if aggregation["aggregation"] == "token-mean" else mask.any(-1).sum()).item()
    parts = []
    for rows in (slice(0, 2), slice(2, 5)):
        part = each_tensor(given, lambda _, x, rows=rows: x[rows])
        parts.append(gradients_of(name, part, denominator=count, **aggregation, **options))
    metrics = bandpo.merge_metrics(out.metrics for out, _ in parts)
    return sum(out.loss for out, _ in parts), torch.cat([gradients["logp"] for _, gradients in parts]), metrics


@pytest.mark.parametrize(
    ("name", "options"), [(name, o) for name, o in SETTINGS if bandpo.get_method(name).scope != "batch"]
)
def test_micro_batches_with_a_common_denominator_add_up_to_the_batch(name, options):
    given = batch()
    for aggregation in AGGREGATION_OPTIONS:
        out, gradients = gradients_of(name, given, **aggregation, **options)
        loss, gradient, metrics = in_two_parts(name, given, options, **aggregation)
        torch.testing.assert_close(loss, out.loss, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(gradient, gradients["logp"], rtol=1e-12, atol=1e-14)
        assert_same_metrics(metrics, out.metrics)


def test_methods_that_depend_on_the_whole_batch_say_so():
    for name in [name for name in NAMES if bandpo.get_method(name).scope == "batch"]:
        given = batch()
        _, gradients = gradients_of(name, given, aggregation="token-mean", **TIGHT[name])
        _, gradient, _ = in_two_parts(name, given, TIGHT[name], aggregation="token-mean")
        assert not torch.allclose(gradient, gradients["logp"], rtol=1e-3)


def test_methods_whose_tokens_depend_on_their_response_say_so():
    """Moving one token changes the others of its response with scope "sequence", and never with scope "token"."""
    for name, options in SETTINGS:
        given, scope = batch(), bandpo.get_method(name).scope
        if scope == "batch":
            continue
        _, before = gradients_of(name, given, **options)
        given["logp"] = given["logp"].clone()
        given["logp"][1, 0] -= 2.0
        _, after = gradients_of(name, given, **options)
        changed = before["logp"] != after["logp"]
        assert changed[1, 1:].any() == (scope == "sequence"), name
        assert not changed[[0, 2, 3, 4]].any(), name


@every_setting
def test_fp32_is_fp64_to_rounding_with_the_same_decisions(name, options):
    given = batch(rows=8, tokens=8, seed=6)
    single = to(given, torch.float32)
    exact = to(single, torch.float64)
    (out, gradients), (exact_out, exact_gradients) = (gradients_of(name, x, **options) for x in (single, exact))
    assert out.loss.dtype == out.per_token.dtype == torch.float32
    torch.testing.assert_close(out.per_token.double(), exact_out.per_token, rtol=3e-5, atol=2e-6)
    torch.testing.assert_close(out.loss.double(), exact_out.loss, rtol=3e-5, atol=2e-6)
    for key, gradient in exact_gradients.items():
        torch.testing.assert_close(gradients[key].double(), gradient, rtol=3e-5, atol=2e-7)
        assert torch.equal(gradients[key] == 0, gradient == 0)
    assert_same_metrics(out.metrics, exact_out.metrics, rtol=1e-4, atol=1e-4)


@every_setting
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_fp32(name, options, dtype):
    half = to(batch(rows=8, tokens=8, seed=6), dtype)
    exact_out, exact_gradients = gradients_of(name, to(half, torch.float64), **options)
    out, gradients = gradients_of(name, half, **options)
    assert out.loss.dtype == out.per_token.dtype == torch.float32
    torch.testing.assert_close(out.per_token.double(), exact_out.per_token, rtol=1e-4, atol=1e-5)
    for key, gradient in exact_gradients.items():
        torch.testing.assert_close(gradients[key].double(), gradient, rtol=1e-2, atol=1e-5)


@every_method
def test_the_loss_has_the_dtype_of_logp_whatever_the_inputs_have(name):
    given = batch()
    single = {**given, **{key: given[key].float() for key in ("logp", "logp_old", "advantages", "logp_rollout")}}
    out = loss_of(name, single, **TIGHT[name])
    assert out.loss.dtype == out.per_token.dtype == torch.float32


EXTREMES = [0.0, -1e-30, -1e-7, -1e-3, -0.5, -20.0, -50.0, -88.0, -100.0]
log_prob = st.one_of(st.sampled_from(EXTREMES), st.floats(-100.0, 0.0, width=32))
advantage = st.one_of(st.sampled_from([0.0, -1e3, 1e3, 1e-6, -1e-30]), st.floats(-1e3, 1e3, width=32))
token = st.tuples(log_prob, log_prob, log_prob, advantage)


@every_setting
@hypothesis.settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
)
@hypothesis.given(tokens=st.lists(token, min_size=12, max_size=12), seed=st.integers(0, 2**16))
def test_no_finite_input_gives_nan_or_infinity(name, options, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    logp, logp_old, logp_rollout, advantages = (torch.tensor(x).reshape(3, 4) for x in zip(*tokens, strict=True))
    listed = -100 * torch.rand(2, 3, 4, 5, generator=generator) ** 4
    given = {
        **batch(rows=3, tokens=4, seed=seed),
        "topk_logp": listed[0],
        "topk_logp_rollout": listed[1],
        "group_rewards": 1e3 * torch.randn(3, 4, generator=generator),
        "logits": 100 * torch.randn(3, 4, 9, generator=generator),
        "mask": torch.ones(3, 4),
    }
    given = to({**given, "logp": logp, "logp_old": logp_old, "logp_rollout": logp_rollout}, torch.float32)
    given["advantages"] = advantages
    out, gradients = gradients_of(name, given, **options)
    assert torch.isfinite(out.per_token).all()
    assert torch.isfinite(out.loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    assert all(torch.isfinite(x) for pair in out.metrics.values() for x in pair)


@every_setting
def test_on_policy_the_gradient_is_the_policy_gradient(name, options):
    given = batch()
    given["logp"] = given["logp_rollout"] = given["logp_old"]
    given["topk_logp"] = given["topk_logp_rollout"]
    given["group_rewards"] = given["group_rewards"].clone()
    given["group_rewards"][0, 0] = 2.0
    given["noise"] = torch.zeros(5, 7, dtype=torch.float64)
    _, gradients = gradients_of(name, given, aggregation="token-mean", **options)
    mask = given["mask"]
    expected = torch.where(mask, -given["advantages"], 0.0)
    dropped = torch.from_numpy(stopped(name, given, bandpo.get_method(name).resolve(options)))
    if name == "clip-cov":
        expected = torch.where(dropped, 0.0, expected)
    torch.testing.assert_close(gradients["logp"] * mask.sum(), expected, rtol=1e-12, atol=1e-14)
    surrogate, _ = surrogate_of(name, given, **options)
    torch.testing.assert_close(torch.where(mask, surrogate.gradient, 0.0), expected, rtol=1e-12, atol=1e-14)


@every_method
def test_a_batch_without_tokens_is_zero_with_zero_gradient(name):
    masked = {**batch(), "mask": torch.zeros(5, 7, dtype=torch.bool)}
    no_rows = each_tensor(batch(), lambda _, x: x[:0])
    no_columns = each_tensor(batch(), lambda key, x: x if key == "group_rewards" else x[:, :0])
    for given, aggregation in itertools.product((masked, no_rows, no_columns), AGGREGATION_OPTIONS):
        out, gradients = gradients_of(name, given, **aggregation)
        assert out.loss.item() == 0
        assert out.per_token.shape == given["logp"].shape
        assert not out.per_token.any()
        assert not any(gradient.any() for gradient in gradients.values())
        assert all(count.item() == 0 and total.item() == 0 for total, count in out.metrics.values())


@pytest.mark.parametrize(("name", "missing"), [(name, key) for name in NAMES for key in ENTRIES[name].needs])
def test_a_missing_input_is_named(name, missing):
    given = batch()
    inputs = {key: x for key, x in inputs_of(name, given).items() if key != missing}
    main = [given[key] for key in ("logp", "logp_old", "advantages", "mask")]
    with pytest.raises(ValueError, match=rf"method '{name}' needs {missing}(:|,) "):
        bandpo.policy_loss(*main, method=name, **inputs)
    with pytest.raises(ValueError, match=rf"method '{name}' needs {missing}(:|,) "):
        bandpo.policy_loss(*main, method=name, **inputs, **{missing: None})


@pytest.mark.parametrize(("strategy", "missing"), [("id", "progress"), ("did", "progress"), ("od", "boost")])
def test_what_a_strategy_goes_by_is_named_when_missing(strategy, missing):
    given = {**batch(), missing: None}
    with pytest.raises(ValueError, match=rf"strategy='{strategy}' needs {missing}"):
        loss_of("flex-entropy", given, strategy=strategy)


@every_method
def test_unknown_hyperparameters_and_inputs_of_others_are_refused(name):
    with pytest.raises(TypeError, match=r"method '.*' takes no 'radius'; its hyperparameters: "):
        loss_of(name, batch(), radius=0.1)
    if "logits" not in bandpo.get_method(name).inputs:
        with pytest.raises(TypeError, match=r"method '.*' takes no 'logits'; its hyperparameters: "):
            loss_of(name, batch(), logits=batch()["logits"])


@every_method
def test_inputs_of_a_wrong_shape_are_refused_with_the_shape_expected(name):
    given = batch()
    expected = {"BT": r"\(5, 7\)", "BTK": r"\(5, 7, K\)", "BTV": r"\(5, 7, V\)", "BG": r"\(5, G\)"}
    for key, needed in bandpo.get_method(name).inputs.items():
        if not needed.shape:
            continue
        for wrong in (given[key][:4], given[key].unsqueeze(-1), given[key][0]):
            with pytest.raises(ValueError, match=rf"{key} has shape .*: expected {expected[needed.shape]}"):
                loss_of(name, {**given, key: wrong})
        with pytest.raises(TypeError, match=rf"{key}: expected a tensor, got list"):
            loss_of(name, {**given, key: given[key].tolist()})
        with pytest.raises(ValueError, match=rf"{key}\[.*\] = nan: expected a number"):
            loss_of(name, {**given, key: torch.full_like(given[key], math.nan)})
    if anchor_of(name, given) is given["logp_rollout"]:
        with pytest.raises(ValueError, match=r"logp_rollout has shape \(5, 6\): expected the shape of logp, \(5, 7\)"):
            loss_of(name, {**given, "logp_rollout": given["logp_rollout"][:, 1:]})


def test_lists_of_different_lengths_are_refused():
    given = batch()
    short = {**given, "topk_logp": given["topk_logp"][..., :3]}
    for name in ("dppo-topk-tv", "dppo-topk-kl"):
        with pytest.raises(ValueError, match=r"topk_logp has shape \(5, 7, 3\): expected .* \(5, 7, 4\)"):
            loss_of(name, short)


def test_no_hyperparameter_or_input_is_shadowed_by_an_argument_of_the_loss():
    """`policy_loss` takes them all as keywords: a name of its own would never reach the method."""
    own = set(inspect.signature(bandpo.policy_loss).parameters) - {"options"}
    for name, method in bandpo.methods().items():
        assert not own & set(method.hyperparameters), name
        assert not own & (set(method.inputs) - {"entropy"}), name


def compare_with_compiled(compile_, name, options, dtype, with_metrics=True):
    given = to(batch(rows=3, tokens=5), dtype)
    keys = [key for key, x in given.items() if isinstance(x, torch.Tensor)]
    numbers = {key: x for key, x in given.items() if key not in keys}

    def loss(*tensors):
        out = loss_of(name, {**numbers, **dict(zip(keys, tensors, strict=True))}, **options)
        return out if with_metrics else out._replace(metrics={})

    results = []
    for function in (loss, compile_(loss)):
        leaves = {key: given[key].clone().requires_grad_() for key in LEAVES}
        out = function(*({**given, **leaves}[key] for key in keys))
        out.loss.backward()
        gradients = {key: leaf.grad for key, leaf in leaves.items() if leaf.grad is not None}
        results.append((out._replace(loss=out.loss.detach(), per_token=out.per_token.detach()), gradients))
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-11, "atol": 1e-13}
    assert_same(results[1], results[0], **tolerance)


@pytest.fixture
def traced():
    """torch.compile(fullgraph=True) up to the code generator: one graph forwards, one backwards, run as they are."""
    if not IS_WHOLE:
        pytest.skip(OF_WHOLE)
    torch._dynamo.reset()
    yield lambda function: torch.compile(function, fullgraph=True, backend="aot_eager")
    torch._dynamo.reset()


# Fixed and searched intervals are compiled by the tests of the loss.
GENERATED = {"maspo": torch.float32, "gspo": torch.float64, "dppo-topk-kl": torch.float32}
TRACED = {name for name in NAMES if not name.startswith("band-") and name not in GENERATED} - {
    *("grpo", "clip-higher", "dual-clip", "two-sided", "no-clip", "dppo-tv", "cfpo", "spo"),
}
# One of every scope and input; tests/kernels/fake_cuda.py traces other families, the slow tests the others.
ONE_OF_A_KIND = {"clip-cov", "dppo-topk-tv", "flex-entropy", "quatro"}


@pytest.mark.parametrize(
    "name", [n if n in ONE_OF_A_KIND else pytest.param(n, marks=pytest.mark.slow) for n in sorted(TRACED)]
)
def test_one_graph_holds_the_whole_method(name, traced):
    compare_with_compiled(traced, name, TIGHT[name], torch.float64)


@pytest.mark.parametrize("name", GENERATED)
def test_compiled_loss_and_gradient_equal_eager(name, compiled):
    compare_with_compiled(compiled, name, TIGHT[name], GENERATED[name], with_metrics=False)


@pytest.mark.slow
@every_setting
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_method_compiled_equals_eager(name, options, dtype, compiled):
    compare_with_compiled(compiled, name, options, dtype)
