"""The conformance suite must fail where a divergence is wrong, and say where."""

import dataclasses
import math

import pytest
import torch

import bandpo
from bandpo.testing import check_divergence

TV = bandpo.get_divergence("tv")
KL = bandpo.get_divergence("kl")


def changed(divergence, **changes):
    return dataclasses.replace(divergence, **changes)


def nan_at_one(logp, delta):
    return torch.where(logp == 0, math.nan, TV.direct_upper(logp, delta))


FAULTS = {
    "upper bound 0.1 % too wide": (
        changed(KL, direct_upper=lambda logp, delta: torch.minimum(1.001 * KL.upper(logp, delta), -logp)),
        "g_f >= δ just outside|g_f <= δ just inside the upper bound",
    ),
    "upper bound too narrow": (
        changed(KL, direct_upper=lambda logp, delta: 0.999 * KL.upper(logp, delta)),
        "g_f >= δ just outside the upper bound",
    ),
    "lower bound too wide": (
        changed(KL, direct_lower=lambda logp, delta: 1.001 * KL.lower(logp, delta)),
        "g_f <= δ just inside the lower bound",
    ),
    "lower bound saturates where it must not": (
        changed(KL, direct_lower=lambda logp, delta: torch.where(logp < -5, -math.inf, KL.lower(logp, delta))),
        "g_f <= δ just inside the lower bound",
    ),
    "beyond the simplex": (
        changed(TV, direct_upper=lambda logp, delta: torch.log1p(delta / logp.exp())),
        r"upper log-ratio <= -log p \(new probability <= 1\)",
    ),
    "interval without 0 above": (changed(TV, direct_upper=lambda logp, delta: logp), "upper log-ratio >= 0"),
    "interval without 0 below": (changed(TV, direct_lower=lambda logp, delta: -logp), "lower log-ratio <= 0"),
    "NaN at p = 1": (changed(TV, direct_upper=nan_at_one), "is a number towards p = 0 and 1"),
    "supremum too small": (changed(TV, supremum=0.4), r"g_f\(p, 1/p\) <= supremum"),
    "fp32 loses digits": (
        changed(
            TV,
            direct_upper=lambda logp, delta: torch.where(
                torch.tensor(logp.dtype == torch.float32), 0.999 * TV.upper(logp, delta), TV.upper(logp, delta)
            ),
        ),
        "upper bound: fp32 = fp64",
    ),
    "a tensor of radii counts for less": (
        changed(
            TV,
            direct_upper=lambda logp, delta: (
                0.999 * TV.upper(logp, delta) if isinstance(delta, torch.Tensor) else TV.upper(logp, delta)
            ),
        ),
        "g_f >= δ just outside the upper bound|upper bound: number δ = tensor δ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_divergence_is_caught_and_the_property_named(fault):
    divergence, message = FAULTS[fault]
    with pytest.raises(AssertionError, match=message):
        check_divergence(divergence)


def test_the_message_names_divergence_probability_and_radius():
    wrong = changed(TV, direct_upper=lambda logp, delta: logp)
    with pytest.raises(
        AssertionError,
        match=r"^tv: upper log-ratio >= 0 fails at p = 3.72\d*e-44 \(logp = -100\), δ = 1e-06: high = -100$",
    ):
        check_divergence(wrong)


def test_bounds_that_do_not_grow_with_the_radius_are_caught():
    wrong = changed(KL, direct_upper=lambda logp, delta: KL.upper(logp, delta.clamp_max(0.05)))
    with pytest.raises(AssertionError, match="upper bound fails"):
        check_divergence(wrong)


def test_plain_functions_names_and_objects_are_taken():
    check_divergence(lambda u: u * torch.log(u))
    check_divergence("alpha=0.7")
    check_divergence(bandpo.get_divergence("le-cam"))
    check_divergence(lambda u: (u - 1).abs() / 2, supremum=1.0)


def test_what_is_no_generator_is_a_value_error():
    with pytest.raises(ValueError, match=r"f: f\(1\) = "):
        check_divergence(lambda u: u)


def test_own_radii_and_log_probs_are_tested():
    check_divergence("kl", deltas=[0.123], logps=[-3.21, -0.123])
    with pytest.raises(ValueError, match=r"deltas=\(3.0,\): expected one below the supremum 1"):
        check_divergence("tv", deltas=[3.0])


@pytest.mark.parametrize("name", ["tv", "js"])
def test_compiled_bounds_conform_too(name):
    torch._dynamo.reset()
    check_divergence(name, compiled=True)
