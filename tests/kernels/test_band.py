"""The interval kernel, interpreted on the CPU, against the torch code."""

import math

import pytest
import torch

import bandpo

pytest.importorskip("triton", reason="Triton is not installed")

SETTINGS = (
    {},
    {"delta": 1e-4},
    {"delta": 3.0, "max_ratio": 5.0},
    {"divergence": "tv"},
    {"divergence": "chi2", "relax": (0.2, 0.28)},
    {"divergence": "hellinger", "delta": 0.3},
    {"delta_low": 0.01, "delta_high": 0.2},
    {"eps_low": 0.2},
    {"eps_high": 0.28},
    {"lower": "none"},
    {"upper": "none"},
)


def log_probs(dtype=torch.float32, count=3000):
    generator = torch.Generator().manual_seed(0)
    spread = -torch.exp(torch.rand(count, generator=generator) * 18 - 13)
    return torch.cat([spread, torch.tensor([0.0, -1e-12, -50.0, -60.0, -100.0, -math.log(2)])]).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", SETTINGS)
def test_equals_the_torch_code(options, dtype):
    logp = log_probs(dtype)
    expected, found = (bandpo.band(logp, kernel=kernel, **options) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        assert other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=2e-6, atol=2e-7)


def test_the_table_is_read_to_the_last_bit_but_for_fused_multiply_adds():
    expected, found = (bandpo.band(log_probs(), kernel=kernel) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=2.5e-7, atol=0)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0), (2, 3, 5), (1025,)])
def test_any_shape(shape):
    logp = torch.full(shape, -1.0)
    expected, found = (bandpo.band(logp, kernel=kernel) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        assert other.shape == shape
        torch.testing.assert_close(other, one)


def test_tensors_that_are_not_contiguous():
    logp = log_probs(count=994).view(100, 10).T
    expected, found = (bandpo.band(logp, kernel=kernel) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize(
    ("logp", "options"),
    [
        (log_probs(torch.float64), {}),
        (log_probs(), {"divergence": "js"}),
        (log_probs(), {"lower": "mirror"}),
        (log_probs(), {"delta": torch.tensor(0.05)}),
        (log_probs(), {"toward": torch.ones(3006)}),
    ],
)
def test_what_it_cannot_do_is_refused_by_name_and_left_to_torch_by_auto(logp, options):
    with pytest.raises(ValueError, match="kernel='triton' with divergence="):
        bandpo.band(logp, kernel="triton", **options)
    assert bandpo.band(logp, **options).low.shape == logp.shape


def test_without_a_triton_of_its_time_auto_leaves_all_to_torch_and_the_kernel_is_refused(monkeypatch):
    monkeypatch.setattr("bandpo.core.regions.dispatch._HAS_TRITON", False)
    assert torch.equal(bandpo.band(log_probs()).low, bandpo.band(log_probs(), kernel="torch").low)
    with pytest.raises(ValueError, match=r"kernel='triton' with torch 2\..*: expected Triton, and torch 2.8 or newer"):
        bandpo.band(log_probs(), kernel="triton")


def test_unknown_kernels_and_wrong_radii_are_refused():
    with pytest.raises(ValueError, match="kernel='cuda': expected one of 'auto', 'torch', 'triton'"):
        bandpo.band(log_probs(), kernel="cuda")
    with pytest.raises(ValueError, match="delta=0"):
        bandpo.band(log_probs(), 0.0, kernel="triton")
