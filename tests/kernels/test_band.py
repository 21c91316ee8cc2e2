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
    {"lower": "mirror"},
    {"upper": "mirror", "delta": 0.3},
    *({"divergence": name, "lower": "mirror", "upper": "mirror"} for name in ("tv", "chi2", "hellinger")),
    {"lower": "mirror", "upper": "mirror", "delta_low": 0.01, "delta_high": 0.2, "max_ratio": 4.0, "relax": (0.1, 0.3)},
)


def log_probs(dtype=torch.float32, count=1000):
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


def advantages(count=1006):
    """Of either sign, some of them 0 and NaN."""
    given = torch.randn(count, generator=torch.Generator().manual_seed(1))
    given[::7], given[5::70] = 0.0, math.nan
    return given


@pytest.mark.parametrize("options", SETTINGS)
def test_toward_opens_the_other_side_as_the_torch_code_does(options):
    logp, toward = log_probs(), advantages()
    expected, found = (bandpo.band(logp, kernel=kernel, toward=toward, **options) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-6, atol=2e-7)
        assert torch.equal(torch.isinf(one), torch.isinf(other))


@pytest.mark.parametrize("toward", [torch.tensor([[1.0], [-1.0], [0.0]]), advantages(15).view(5, 3).T.double()])
def test_toward_is_read_where_it_lies(toward):
    logp, toward = log_probs(count=9).view(3, 5), toward.expand(3, 5)
    expected, found = (bandpo.band(logp, kernel=kernel, toward=toward) for kernel in ("torch", "triton"))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("name", ["grpo", "clip-higher", "no-clip", "atr-grpo", "dcpo", "band-mirror", "band-upper"])
@pytest.mark.parametrize("has_toward", [True, False])
def test_every_method_with_a_kernel_has_the_interval_that_torch_gives(monkeypatch, name, has_toward):
    method, logp, launched = bandpo.get_method(name), log_probs(), []
    toward = advantages() if has_toward else None
    expected = method.interval(logp, toward=toward)
    monkeypatch.setattr("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True)
    monkeypatch.setattr("bandpo.kernels.band_triton.launch", spied(launched))
    found = method.interval(logp, toward=toward)
    assert len(launched) == 1
    # DCPO's lower bound has a square root of 1 - 4 ε/p, which loses digits where that nears 0.
    tolerance = {"rtol": 1e-5, "atol": 2e-6} if name == "dcpo" else {"rtol": 2e-6, "atol": 2e-7}
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, **tolerance)


def spied(calls):
    """`launch`, each call of which is kept."""
    from bandpo.kernels.band_triton import launch

    def launch_and_keep(*given):
        calls.append(given)
        launch(*given)

    return launch_and_keep


def test_under_vmap_over_radii_or_advantages_torch_does_it(monkeypatch):
    monkeypatch.setattr("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True)
    logp, radii = torch.tensor([-0.1, -1.0, -5.0]), torch.tensor([0.01, 0.1])
    found = torch.vmap(lambda delta: bandpo.band(logp, delta).high)(radii)
    expected = torch.stack([bandpo.band(logp, delta.item(), kernel="torch").high for delta in radii])
    torch.testing.assert_close(found, expected)
    signs = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    found = torch.vmap(lambda toward: bandpo.band(logp, toward=toward).low)(signs)
    torch.testing.assert_close(found, torch.stack([bandpo.band(logp, toward=x, kernel="torch").low for x in signs]))


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
        (log_probs(), {"divergence": "js", "delta": torch.tensor(0.05)}),
        (log_probs(), {"divergence": "le-cam", "lower": "mirror"}),
        (log_probs(), {"delta": 1e-12, "toward": torch.ones(1006)}),
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
