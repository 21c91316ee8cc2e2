import math

import pytest
import torch

import bandpo
from benchmarks import oracle

from ..helpers import of_whole, ulp_error

LOGP = torch.tensor([0.001, 0.05, 0.3, 0.7, 0.99], dtype=torch.float64).log()
KL = bandpo.get_divergence("kl")
CHI2 = bandpo.get_divergence("chi2")


def exact(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_by_default_both_sides_are_the_kl_band_of_radius_0_05():
    interval = bandpo.band(LOGP)
    exact(interval.low, KL.lower(LOGP, 0.05))
    exact(interval.high, KL.upper(LOGP, 0.05))


def test_each_side_has_its_own_radius():
    interval = bandpo.band(LOGP, 0.05, delta_low=0.01, delta_high=0.2)
    exact(interval.low, KL.lower(LOGP, 0.01))
    exact(interval.high, KL.upper(LOGP, 0.2))
    exact(bandpo.band(LOGP, 0.05, delta_low=0.01).high, KL.upper(LOGP, 0.05))
    exact(bandpo.band(LOGP, 0.05, delta_high=0.01).low, KL.lower(LOGP, 0.05))


def test_a_fixed_clip_replaces_one_side_and_leaves_the_other():
    low = bandpo.band(LOGP, eps_low=0.2)
    exact(low.low, torch.full_like(LOGP, math.log1p(-0.2)))
    exact(low.high, KL.upper(LOGP, 0.05))
    high = bandpo.band(LOGP, eps_high=0.28)
    exact(high.high, torch.full_like(LOGP, math.log1p(0.28)))
    exact(high.low, KL.lower(LOGP, 0.05))


def test_none_opens_one_side():
    exact(bandpo.band(LOGP, lower="none").low, torch.full_like(LOGP, -math.inf))
    exact(bandpo.band(LOGP, upper="none").high, torch.full_like(LOGP, math.inf))
    exact(bandpo.band(LOGP, lower="none").high, KL.upper(LOGP, 0.05))


@pytest.mark.parametrize("delta", [1e-4, 0.05, 1.0])
def test_mirrored_bounds_are_those_of_the_complement_negated(delta):
    interval = bandpo.band(LOGP, delta, lower="mirror", upper="mirror")
    for column, logp in enumerate(LOGP.tolist()):
        assert ulp_error(interval.low[column], oracle.bound("kl-mirror", logp, delta, upward=False)) <= 16
        assert ulp_error(interval.high[column], oracle.bound("kl-mirror", logp, delta, upward=True)) <= 16


def test_the_mirrored_lower_bound_is_tight_for_rare_and_wide_for_likely_tokens():
    low = bandpo.band(torch.tensor([1e-4, 0.9999]).log(), lower="mirror").low.exp()
    assert low[0] > 0.999
    assert low[1] < 0.01


@pytest.mark.parametrize("name", ["tv", "hellinger", "js"])
def test_mirroring_works_for_every_divergence_and_stays_in_the_simplex(name):
    logp = torch.tensor([-1e4, -30.0, -1.0, -1e-3, -1e-9, 0.0])
    interval = bandpo.band(logp, 0.05, name, lower="mirror", upper="mirror")
    assert (interval.low <= 0).all()
    assert (interval.high >= 0).all()
    assert (interval.high <= -logp).all()


LOWER_RULES = (
    {},
    {"delta_low": 0.2},
    {"eps_low": 0.3},
    {"lower": "mirror"},
    {"lower": "mirror", "delta_low": 0.2},
    {"lower": "none"},
)
UPPER_RULES = (
    {},
    {"delta_high": 0.2},
    {"eps_high": 0.3},
    {"upper": "mirror"},
    {"upper": "mirror", "delta_high": 0.2},
    {"upper": "none"},
)


@pytest.mark.parametrize("upper", UPPER_RULES, ids=str)
@pytest.mark.parametrize("lower", LOWER_RULES, ids=str)
def test_each_side_follows_its_own_rule_whatever_the_other(lower, upper):
    interval = bandpo.band(LOGP, 0.03, **lower, **upper)
    exact(interval.low, bandpo.band(LOGP, 0.03, **lower).low)
    exact(interval.high, bandpo.band(LOGP, 0.03, **upper).high)


def test_no_two_rules_of_a_side_give_the_same_bound():
    lows = [bandpo.band(LOGP, 0.03, **rule).low for rule in LOWER_RULES]
    highs = [bandpo.band(LOGP, 0.03, **rule).high for rule in UPPER_RULES]
    for bounds in (lows, highs):
        assert not any(torch.equal(a, b) for i, a in enumerate(bounds) for b in bounds[:i])


def test_max_ratio_caps_the_upper_bound_only():
    interval = bandpo.band(LOGP, max_ratio=3.0)
    exact(interval.high, KL.upper(LOGP, 0.05).clamp_max(math.log(3.0)))
    exact(interval.low, KL.lower(LOGP, 0.05))


def test_relax_widens_to_at_least_the_fixed_clip():
    interval = bandpo.band(LOGP, relax=(0.2, 0.28))
    exact(interval.low, KL.lower(LOGP, 0.05).clamp_max(math.log1p(-0.2)))
    exact(interval.high, KL.upper(LOGP, 0.05).clamp_min(math.log1p(0.28)))


def test_max_ratio_wins_over_relax():
    assert bandpo.band(LOGP, relax=(0.2, 0.28), max_ratio=1.1).high.max().item() == pytest.approx(math.log(1.1))


@pytest.mark.parametrize("shape", [(5,), (3, 5), (3, 1), ()])
def test_radii_may_be_tensors_of_any_shape_that_broadcasts(shape):
    logp = LOGP.expand(3, 5)
    delta = torch.linspace(0.01, 0.3, math.prod(shape), dtype=torch.float64).reshape(shape)
    interval = bandpo.band(logp, delta, delta_high=2 * delta)
    for row in range(3):
        for column in range(5):
            radius = delta.expand(3, 5)[row, column].item()
            alone = bandpo.band(logp[row, column], radius, delta_high=2 * radius)
            torch.testing.assert_close(interval.low[row, column], alone.low, rtol=1e-14, atol=0)
            torch.testing.assert_close(interval.high[row, column], alone.high, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["kl", "tv", "js"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_the_fp32_bounds_of_the_same_numbers(dtype, name):
    logp = LOGP.to(dtype)
    exact(bandpo.band(logp, 0.05, name), bandpo.band(logp.float(), 0.05, name))
    assert bandpo.band(logp, 0.05, name).low.dtype == torch.float32


def test_fp64_stays_fp64_and_agrees_with_fp32():
    double, single = bandpo.band(LOGP), bandpo.band(LOGP.float())
    assert (double.low.dtype, single.low.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(single.low.double(), double.low, rtol=3e-6, atol=0)


@pytest.mark.parametrize("name", ["kl", "tv", "js"])
@pytest.mark.parametrize("shape", [(0,), (2, 0), ()])
def test_empty_and_scalar_tensors_keep_their_shape(shape, name):
    interval = bandpo.band(torch.full(shape, -1.0), 0.05, name)
    assert interval.low.shape == interval.high.shape == shape


@pytest.mark.parametrize("name", ["kl", "tv", "chi2", "neyman-chi2", "hellinger", "le-cam", "reverse-kl", "js"])
def test_certain_and_impossible_tokens_give_the_limits_without_nan(name):
    interval = bandpo.band(torch.tensor([0.0, -math.inf]), 0.05, name)
    assert interval.high[0] == 0
    assert interval.high[1] > 30
    assert interval.low[0] <= 0
    assert interval.low[1].exp() == 0


def test_log_probs_that_rounding_pushed_above_zero_count_as_certain():
    exact(bandpo.band(torch.tensor([5e-5])), bandpo.band(torch.tensor([0.0])))
    exact(bandpo.band(torch.tensor([0.1], dtype=torch.bfloat16)), bandpo.band(torch.tensor([0.0])))


def test_bounds_carry_no_gradient():
    logp, delta = LOGP.clone().requires_grad_(), torch.tensor(0.05, requires_grad=True)
    interval = bandpo.band(logp, delta)
    assert not interval.low.requires_grad
    assert not interval.high.requires_grad


def test_ratios_are_the_exponentials_of_the_bounds():
    interval = bandpo.band(LOGP)
    low, high = interval.ratio()
    exact(low, interval.low.exp())
    exact(high, interval.high.exp())


@of_whole
@pytest.mark.parametrize("name", ["kl", "tv", "js"])
def test_vmap_gives_the_bounds_of_the_batch(name):
    logp = LOGP.expand(3, 5)
    exact(torch.vmap(lambda x: bandpo.band(x, 0.05, name))(logp), bandpo.band(logp, 0.05, name))
    deltas = torch.tensor([0.01, 0.05, 0.3], dtype=torch.float64)
    found = torch.vmap(lambda x, delta: bandpo.band(x, delta, name))(logp, deltas)
    torch.testing.assert_close(found, bandpo.band(logp, deltas[:, None], name), rtol=1e-9, atol=0)


@pytest.mark.parametrize(("name", "dtype", "limit"), [("kl", torch.float32, 8), ("chi2", torch.float64, 5)])
def test_compiled_bounds_are_within_target_of_50_digit_roots(compiled, name, dtype, limit):
    points = -torch.logspace(-9, 1.6, 48, dtype=torch.float64)
    logp = points[(points + 3.0445).abs() > 0.1].to(dtype)
    interval = compiled(lambda x: bandpo.band(x, 0.05, name))(logp)
    assert len(logp) >= 32
    for side, upward in ((interval.low, False), (interval.high, True)):
        for x, found in zip(logp.tolist(), side, strict=True):
            truth = oracle.bound(name, x, 0.05, upward)
            assert (truth.high < -103 and found.exp() == 0) or ulp_error(found, truth) <= limit, (x, found, truth)


def test_compiled_bounds_take_every_option_and_a_new_radius(compiled):
    logp = -torch.logspace(-6, 1.5, 40)
    function = compiled(
        lambda x, delta: bandpo.band(x, delta, "tv", lower="mirror", eps_high=None, max_ratio=9.0, relax=(0.01, 0.02))
    )
    for delta in (0.05, 0.1, 0.2):
        expected = bandpo.band(logp, delta, "tv", lower="mirror", max_ratio=9.0, relax=(0.01, 0.02))
        torch.testing.assert_close(function(logp, delta), expected, rtol=1e-6, atol=0)


WRONG_VALUES = [
    ({"delta": 0.0}, r"delta=0.0: expected 0 < delta < 20"),
    ({"delta": -1}, r"delta=-1: expected 0 < delta < 20"),
    ({"delta": 25.0}, r"delta=25.0: expected 0 < delta < 20"),
    ({"delta": math.nan}, r"delta=nan: expected 0 < delta < 20"),
    ({"delta_low": 0.0}, r"delta_low=0.0: expected 0 < delta_low < 20"),
    ({"delta_high": math.inf}, r"delta_high=inf: expected 0 < delta_high < 20"),
    (
        {"delta": 1.5, "divergence": "tv"},
        r"delta=1.5 allows every policy, the divergence never exceeds 1: expected 0 < delta < 1, or method 'no-clip'",
    ),
    ({"delta": torch.tensor([0.05, 0.0])}, r"delta holds 0: expected 0 < delta < 20"),
    ({"delta": torch.tensor([0.05, math.nan])}, r"delta holds nan: expected 0 < delta < 20"),
    ({"delta": torch.tensor([0.9, 1.0]), "divergence": "tv"}, r"delta holds 1: expected 0 < delta < 1"),
    ({"delta": torch.ones(3)}, r"delta has shape \(3,\): expected one that broadcasts to \(2,\)"),
    ({"delta": torch.ones(4, 2)}, r"delta has shape \(4, 2\): expected one that broadcasts to \(2,\)"),
    ({"lower": "open"}, r"lower='open': expected one of 'band', 'mirror', 'none'"),
    ({"upper": None}, r"upper=None: expected one of 'band', 'mirror', 'none'"),
    ({"eps_low": 1.0}, r"eps_low=1.0: expected 0 <= eps_low < 1"),
    ({"eps_low": -0.1}, r"eps_low=-0.1: expected 0 <= eps_low < 1"),
    ({"eps_high": -0.1}, r"eps_high=-0.1: expected 0 <= eps_high < inf"),
    ({"eps_low": 0.2, "delta_low": 0.1}, r"eps_low=0.2 fixes the lower bound and delta_low=0.1 sets it too: give one"),
    (
        {"eps_high": 0.2, "upper": "none"},
        r"eps_high=0.2 fixes the upper bound and upper='none' sets it too: give one",
    ),
    ({"lower": "none", "delta_low": 0.1}, r"lower='none' takes no radius, got delta_low=0.1"),
    ({"max_ratio": 1.0}, r"max_ratio=1.0: expected 1 < max_ratio < inf"),
    ({"relax": 0.2}, r"relax=0.2: expected a pair \(eps_low, eps_high\)"),
    ({"relax": (0.2,)}, r"relax=\(0.2,\): expected a pair \(eps_low, eps_high\)"),
    ({"relax": (1.0, 0.2)}, r"relax\[0\]=1.0: expected 0 <= relax\[0\] < 1"),
    ({"relax": (0.2, -0.1)}, r"relax\[1\]=-0.1: expected 0 <= relax\[1\] < inf"),
    ({"divergence": "kl2"}, r"divergence='kl2': expected one of kl, "),
]
WRONG_TYPES = [
    ({"delta": "0.05"}, r"delta='0.05': expected a number or a tensor"),
    ({"delta": True}, r"delta=True: expected a number or a tensor"),
    ({"delta": torch.ones(2, dtype=torch.int64)}, r"delta: expected a floating-point tensor, got dtype torch.int64"),
    ({"eps_low": "0.2"}, r"eps_low='0.2': expected a number"),
    ({"max_ratio": "ten"}, r"max_ratio='ten': expected a number"),
    ({"divergence": 1}, r"divergence=1: expected a name or a bandpo.Divergence"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_what_was_expected(options, message):
    with pytest.raises(ValueError, match=message):
        bandpo.band(torch.tensor([-1.0, -2.0]), **options)


@pytest.mark.parametrize(("options", "message"), WRONG_TYPES)
def test_a_wrong_type_is_named_with_what_was_expected(options, message):
    with pytest.raises(TypeError, match=message):
        bandpo.band(torch.tensor([-1.0, -2.0]), **options)


def test_wrong_log_probs_are_named_by_position_and_value():
    with pytest.raises(ValueError, match=r"logp_old\[0, 1\] = 0.5: expected a log-prob, at most 0"):
        bandpo.band(torch.tensor([[-1.0, 0.5]]))
    with pytest.raises(ValueError, match=r"logp_old\[1\] = nan: expected a log-prob, at most 0"):
        bandpo.band(torch.tensor([-1.0, math.nan]))
    with pytest.raises(ValueError, match=r"^logp_old = 0.5: expected"):
        bandpo.band(torch.tensor(0.5))
    with pytest.raises(TypeError, match=r"logp_old: expected a floating-point tensor, got dtype torch.int64"):
        bandpo.band(torch.tensor([-1]))
    with pytest.raises(TypeError, match=r"logp_old: expected a tensor, got float"):
        bandpo.band(-1.0)  # type: ignore[arg-type]


def test_without_check_values_in_tensors_are_not_looked_at_but_numbers_are():
    interval = bandpo.band(torch.tensor([math.nan, 0.5]), torch.tensor([0.05, 0.05]), check=False)
    assert torch.isnan(interval.low[0])
    assert interval.high[1] == 0
    bandpo.band(torch.tensor([-1.0]), torch.tensor([-1.0]), check=False)
    with pytest.raises(ValueError, match=r"delta=-1\.0: expected"):
        bandpo.band(torch.tensor([-1.0]), -1.0, check=False)


def test_fixed_interval_is_the_same_for_every_token():
    interval = bandpo.fixed_interval(LOGP, 0.2, 0.28)
    exact(interval.low, torch.full_like(LOGP, math.log1p(-0.2)))
    exact(interval.high, torch.full_like(LOGP, math.log1p(0.28)))
    open_interval = bandpo.fixed_interval(LOGP.bfloat16(), math.inf, math.inf)
    assert open_interval.low.dtype == torch.float32
    assert (open_interval.low == -math.inf).all()
    assert (open_interval.high == math.inf).all()


@pytest.mark.parametrize(
    ("eps_low", "eps_high", "message"),
    [(1.0, 0.2, "eps_low=1.0: expected 0 <= eps_low < 1"), (0.2, -0.2, "eps_high=-0.2: expected 0 <= eps_high < inf")],
)
def test_fixed_interval_names_a_wrong_eps(eps_low, eps_high, message):
    with pytest.raises(ValueError, match=message):
        bandpo.fixed_interval(LOGP, eps_low, eps_high)
