import math

import pytest
import torch

import bandpo

P = torch.tensor([1e-6, 0.05, 0.5, 0.9, 1.0], dtype=torch.float64)
# The authors' rules by hand, r <= 1.5/(1 + .25 p) and r >= .7/(1 - .13 p), and the standard clip.
RISING = [1.5 / (1 + 0.25 * p) for p in P.tolist()]
FALLING = [0.7 / (1 - 0.13 * p) for p in P.tolist()]
LOW, HIGH = [0.8] * 5, [1.2] * 5


def mix(weight, one, other):
    return [weight * a + (1 - weight) * b for a, b in zip(one, other, strict=True)]


# (strategy, share of training done) -> bounds. λ = 1 - 2t; early upper bounds blend ℋ and the standard clip, late lower
# ones ℳ with weight 1 + λ and the standard clip with weight -λ.
SCHEDULE = [
    ("id", 0.0, LOW, RISING),
    ("id", 0.125, LOW, mix(0.75, RISING, HIGH)),
    ("id", 0.5, LOW, HIGH),
    ("id", 0.5000001, mix(0.9999998, FALLING, LOW), HIGH),
    ("id", 0.625, mix(0.75, FALLING, LOW), HIGH),
    ("id", 1.0, LOW, HIGH),
    ("did", 0.0, LOW, HIGH),
    ("did", 0.125, LOW, mix(0.25, RISING, HIGH)),
    ("did", 0.5, LOW, RISING),
    ("did", 0.625, mix(0.75, FALLING, LOW), RISING),
    ("did", 1.0, LOW, RISING),
]


@pytest.mark.parametrize(("strategy", "progress", "low", "high"), SCHEDULE)
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_bounds_follow_the_schedule(strategy, progress, low, high, kind):
    interval = bandpo.flexible_entropy_interval(P.log(), strategy=strategy, progress=kind(progress))
    for found, expected in zip(interval.ratio(), (low, high), strict=True):
        assert found.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("boost", "low", "high"), [(1.0, LOW, RISING), (0.0, FALLING, HIGH)])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_the_oscillatory_strategy_goes_by_the_switch(boost, low, high, kind):
    interval = bandpo.flexible_entropy_interval(P.log(), strategy="od", boost=kind(boost))
    for found, expected in zip(interval.ratio(), (low, high), strict=True):
        assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_rules_are_linear_in_the_new_probability():
    """ℋ allows r - 1 <= α q + β with q = r p, and ℳ 1 - r <= α q + β: at the bounds both hold with equality."""
    options = {"slope_high": -0.3, "intercept_high": 0.4, "slope_low": -0.2, "intercept_low": 0.25}
    _, high = bandpo.flexible_entropy_interval(P.log(), strategy="od", boost=1.0, **options).ratio()
    low, _ = bandpo.flexible_entropy_interval(P.log(), strategy="od", boost=0.0, **options).ratio()
    torch.testing.assert_close(high - 1, -0.3 * high * P + 0.4)
    torch.testing.assert_close(1 - low, -0.2 * low * P + 0.25)


@pytest.mark.parametrize("strategy", ["id", "did", "od"])
def test_bounds_contain_the_ratio_one(strategy):
    logp = torch.linspace(-20, 0, 50)
    for t in torch.linspace(0, 1, 21).tolist():
        low, high = bandpo.flexible_entropy_interval(
            logp,
            strategy=strategy,
            progress=t,
            boost=round(t),
            slope_high=-0.5,
            intercept_high=0.5,
            slope_low=-0.3,
            intercept_low=0.3,
        )
        assert (low <= 1e-6).all()
        assert (high >= -1e-6).all()


def test_the_switch_turns_on_at_the_floor_and_off_above_a_falling_threshold():
    """H_init = 1, floor .2: on at H <= .2, off at H > .2 + .8 (1 - t), in between as before."""
    state = bandpo.EntropyBoost()
    for entropy, progress, is_on in (
        (1.0, 0.0, False),
        (0.5, 0.1, False),
        (0.21, 0.2, False),
        (0.2, 0.25, True),
        (0.7, 0.3, True),
        (0.75, 0.3, True),
        (0.77, 0.3, False),
        (0.5, 0.4, False),
        (0.1, 0.5, True),
        (0.6, 0.5, True),
        (0.61, 0.5, False),
        (0.15, 0.9, True),
        (0.29, 0.9, False),
        (0.2, 1.0, True),
        (0.2001, 1.0, False),
    ):
        state = bandpo.entropy_boost(state, entropy, progress)
        assert state.is_on == is_on, (entropy, progress)
        assert state.initial == 1.0


def test_the_floor_is_a_share_of_the_initial_entropy():
    start = bandpo.entropy_boost(bandpo.EntropyBoost(), 2.0, 0.0, floor=0.5)
    assert not start.is_on
    assert bandpo.entropy_boost(start, 1.0, 0.1, floor=0.5).is_on
    assert not bandpo.entropy_boost(start, 1.01, 0.1, floor=0.5).is_on
    assert bandpo.entropy_boost(bandpo.EntropyBoost(True, 2.0), 1.49, 0.5, floor=0.5).is_on
    assert not bandpo.entropy_boost(bandpo.EntropyBoost(True, 2.0), 1.51, 0.5, floor=0.5).is_on


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "di", "progress": 0.1}, "strategy='di': expected one of 'id', 'did', 'od'"),
        ({}, "strategy='id' needs progress"),
        ({"strategy": "od", "progress": 0.1}, "strategy='od' needs boost"),
        ({"progress": 1.1}, "progress=1.1: expected 0 <= progress"),
        ({"progress": -0.1}, "progress=-0.1: expected 0 <= progress"),
        ({"progress": 0.1, "eps": 1.0}, "eps=1.0: expected 0 <= eps < 1"),
        ({"progress": 0.1, "slope_high": 0.1}, "slope_high=0.1: expected -1 <= slope_high < 0"),
        ({"progress": 0.1, "slope_low": -1.5}, "slope_low=-1.5: expected -1 <= slope_low < 0"),
        ({"progress": 0.1, "intercept_high": 0.2}, "intercept_high=0.2: expected 0.25 <= intercept_high < inf"),
        ({"progress": 0.1, "intercept_low": 0.1}, "intercept_low=0.1: expected 0.13 <= intercept_low < 1"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        bandpo.flexible_entropy_interval(P.log(), **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 0.0), "entropy=-0.1: expected 0 <= entropy < inf"),
        ((math.inf, 0.0), "entropy=inf: expected 0 <= entropy < inf"),
        ((0.1, 1.1), "progress=1.1: expected 0 <= progress"),
        ((0.1, 0.1, 1.5), "floor=1.5: expected 0 <= floor"),
    ],
)
def test_the_switch_refuses_values_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        bandpo.entropy_boost(bandpo.EntropyBoost(), *arguments)
