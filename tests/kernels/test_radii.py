"""Radii that are tensors inside the kernels, against the torch code and, for the bounds, fp64."""

import math

import pytest
import torch

import bandpo

pytest.importorskip("triton", reason="Triton is not installed")

from bandpo.speed.report import worst_ulp
from tests.kernels.test_band import advantages, log_probs
from tests.kernels.test_clip_loss import assert_same, batch, both

DIVERGENCES = ("kl", "tv", "chi2", "hellinger")


def radii(*shape, low=1e-4, high=0.5):
    """Radii even over their logarithm."""
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    return low * (high / low) ** uniform


def both_intervals(logp, **options):
    return [bandpo.band(logp, kernel=kernel, **options) for kernel in ("torch", "triton")]


@pytest.mark.parametrize("rules", [{}, {"lower": "mirror", "upper": "mirror"}], ids=["band", "mirror"])
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_bounds_from_p_1_to_p_1e_minus_43(divergence, rules):
    """From the smallest radius of all to a large one."""
    logp = log_probs()
    for low, high in ((1e-4, 0.5), (1e-30, 1e-4)):
        expected, found = both_intervals(
            logp, delta=radii(len(logp), low=low, high=high), divergence=divergence, **rules
        )
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=4e-6, atol=2e-7 * high)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_bounds_are_as_close_to_fp64_as_those_of_the_torch_code(divergence):
    logp = -torch.logspace(-6, 1.69897, 4000, dtype=torch.float64).float()
    delta = radii(len(logp), low=1e-3, high=0.3)
    truth = bandpo.band(logp.double(), delta.double(), divergence, kernel="torch")
    for exact, one, other in zip(truth, *both_intervals(logp, delta=delta, divergence=divergence), strict=True):
        finite = torch.isfinite(exact)
        assert torch.equal(other[~finite].double(), exact[~finite])
        assert worst_ulp(other[finite], exact[finite]) <= max(8, 2 * worst_ulp(one[finite], exact[finite]))


@pytest.mark.parametrize("place", range(4))
def test_toward_and_each_side_of_its_own(place):
    logp, sides = log_probs(), (("delta",), ("delta_low",), ("delta_high",), ("delta_low", "delta_high"))[place]
    options = {name: radii(len(logp)) for name in sides} | {"max_ratio": 5.0}
    options["divergence"] = DIVERGENCES[-place]
    for toward in (None, advantages()):
        expected, found = both_intervals(logp, toward=toward, **options)
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(other, one, rtol=4e-6, atol=2e-7)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 1), (2, 3, 5), (1, 1, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_radii_broadcast_and_may_have_another_dtype(shape, dtype):
    logp, delta = log_probs(count=24).view(2, 3, 5), radii(*shape).to(dtype)
    expected, found = both_intervals(logp, delta=delta)
    for one, other in zip(expected, found, strict=True):
        assert other.dtype == torch.float32 and other.shape == logp.shape
        torch.testing.assert_close(other, one, rtol=4e-6, atol=2e-7)


SHAPES = ((), (4, 1), (1, 300), (4, 300))


@pytest.mark.parametrize("metrics", [True, False])
@pytest.mark.parametrize("place", range(4))
def test_the_loss(place, metrics):
    delta = radii(*SHAPES[place - metrics], low=1e-3, high=0.1)
    assert_same(both(batch(tokens=300), f"band-{DIVERGENCES[place]}", delta=delta, metrics=metrics))


def test_the_loss_in_rows_of_more_than_a_block():
    assert_same(both(batch(tokens=1100), "band-kl", delta=radii(4, 1100, low=1e-3, high=0.1), metrics=False))


@pytest.mark.parametrize("metrics", [True, False])
def test_the_loss_with_a_mirrored_side_a_radius_for_each_and_every_term(metrics):
    inputs = batch(tokens=300)
    delta = torch.where(inputs[3], radii(4, 300, low=1e-3, high=0.1), math.nan)  # junk where masked
    given = {"delta_low": delta, "lower": "mirror", "logp_rollout": inputs[1] - 0.1, "importance_cap": 1.05}
    assert_same(both(inputs, "band-kl", logp_ref=inputs[1] - 0.2, beta=0.1, metrics=metrics, **given))


@pytest.mark.parametrize("wrong", [0.0, math.nan, 25.0])
def test_a_wrong_radius_is_refused_as_by_the_torch_code(wrong):
    inputs, delta = batch(tokens=30), radii(4, 30)
    row, column = inputs[3].nonzero()[5].tolist()
    delta[row, column] = wrong
    for kernel in ("torch", "triton"):
        with pytest.raises(ValueError, match="delta holds"):
            bandpo.policy_loss(*inputs, method="band-kl", kernel=kernel, delta=delta)
        with pytest.raises(ValueError, match="delta holds"):
            bandpo.band(torch.full((4, 30), -1.0), delta, kernel=kernel)


@pytest.mark.parametrize(
    ("delta", "kind", "words"),
    [
        (torch.full((3,), 0.05), ValueError, r"delta has shape \(3,\): expected one that broadcasts to \(4, 30\)"),
        (torch.tensor(1), TypeError, "delta: expected a floating-point tensor"),
    ],
)
def test_another_shape_or_dtype_is_refused_as_by_the_torch_code(delta, kind, words):
    for kernel in ("torch", "triton"):
        with pytest.raises(kind, match=words):
            bandpo.policy_loss(*batch(tokens=30), method="band-kl", kernel=kernel, delta=delta)


def test_a_radius_on_another_device_is_refused_by_the_kernel():
    radius = torch.tensor(0.05, device="meta")
    with pytest.raises(ValueError, match="on the device of logp"):
        bandpo.policy_loss(*batch(tokens=30), method="band-kl", kernel="triton", delta=radius, check=False)
    with pytest.raises(ValueError, match="on the device of logp_old"):
        bandpo.band(log_probs(), radius, kernel="triton", check=False)
