"""The table of a fixed radius against 50-digit roots and the fp64 solver, everywhere it is used."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bandpo
from bandpo.core.divergences.kl_solver import kl_lower, kl_upper
from bandpo.core.divergences.kl_table import kl_table, table_bound
from benchmarks import oracle

from ..helpers import LOGPS, logps, of_whole, ulp_error, underflows

DELTAS = (1e-6, 1e-4, 0.01, 0.05, 0.3, 1.0, 5.0, 19.9)
SIDES = ((False, kl_lower), (True, kl_upper))


def solved(bound, logp, delta):
    return bound(logp.double(), delta)


def ulps(found, expected):
    scale = 2.0 ** torch.floor(torch.log2(expected.abs().clamp_min(torch.finfo(torch.float32).tiny)))
    return (found.double() - expected).abs() / (scale * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("delta", DELTAS[:-1])
def test_two_ulp_from_fifty_digit_roots(delta, upward):
    found = table_bound(logps(torch.float32), delta, upward)
    for logp, bound in zip(logps(torch.float32).tolist(), found, strict=True):
        truth = oracle.bound("kl", logp, delta, upward)
        if not underflows(truth, torch.float32):
            assert ulp_error(bound, truth) <= 2, (logp, delta)


@pytest.mark.parametrize(("upward", "bound"), SIDES)
@pytest.mark.parametrize("delta", DELTAS)
def test_two_ulp_from_the_solver_in_every_cell(delta, upward, bound):
    """Forty points in each cell and the cells' edges to the last bit."""
    octaves = [2.0**e * (1 + i / 16) for e in range(-60, 0) for i in range(16)]
    edges = torch.tensor(octaves + [1 + i / 16 for i in range(49 * 16 + 1)], dtype=torch.float64)
    inner = edges[:-1, None] + (edges.diff()[:, None]) * torch.linspace(0, 1, 41, dtype=torch.float64)
    y = torch.cat([inner.flatten(), edges]).float()
    y = torch.cat([y, torch.nextafter(y, torch.tensor(0.0)), torch.nextafter(y, torch.tensor(100.0))]).clamp_max(50)
    found, expected = table_bound(-y, delta, upward), solved(bound, -y, delta)
    assert ulps(found, expected).max() <= 2


@given(st.floats(-50, -(2.0**-40), width=32), st.floats(1e-6, 19))
def test_two_ulp_at_any_radius(logp, delta):
    for upward, bound in SIDES:
        one = torch.tensor([logp])
        assert ulps(table_bound(one, delta, upward), solved(bound, one, delta)).item() <= 2


@pytest.mark.parametrize("delta", DELTAS)
def test_ends(delta):
    logp = torch.tensor([0.0, -1e-45, -(2.0**-60), -1e-19, -50.0, -90.0, -1e4, -math.inf, math.nan])
    low, high = (table_bound(logp, delta, upward) for upward in (False, True))
    assert torch.equal(high[:4], -logp[:4])
    torch.testing.assert_close(low[:4], torch.full((4,), -delta))
    torch.testing.assert_close(high[4:7], solved(kl_upper, logp[4:7], delta).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(low[4:7], solved(kl_lower, logp[4:7], delta).float(), rtol=1e-6, atol=0)
    assert high[7] == math.inf
    assert low[7] < -1e14
    assert torch.isnan(high[8])
    assert torch.isnan(low[8])


def test_bounds_come_from_the_table_for_numbers_in_single_precision_alone(monkeypatch):
    used = []
    monkeypatch.setattr(
        "bandpo.core.divergences.kl_table.table_bound", lambda *a, **k: used.append(a) or table_bound(*a, **k)
    )
    logp = logps(torch.float32)
    tables, solver = bandpo.band(logp, 0.05), bandpo.band(logp, torch.tensor(0.05))
    bandpo.band(logp.double(), 0.05)
    assert len(used) == 2
    for one, other in zip(tables, solver, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)
        assert not torch.equal(one, other)


def test_one_table_a_radius():
    ratio = (0.05).as_integer_ratio()
    cpu = torch.device("cpu")
    assert kl_table(*ratio, cpu) is kl_table(*ratio, cpu)
    assert kl_table(*ratio, cpu) is not kl_table(*(0.06).as_integer_ratio(), cpu)


def test_compiled_bounds_are_the_eager_ones_for_one_number_after_another(compiled):
    function = compiled(lambda logp, delta: bandpo.band(logp, delta))
    for delta in (0.05, 0.02, 0.3, 0.05):
        for count in (64, 1000):
            logp = -torch.rand(count).mul(20)
            for one, other in zip(function(logp, delta), bandpo.band(logp, delta), strict=True):
                torch.testing.assert_close(one, other, rtol=3e-7, atol=0)


@of_whole
def test_vmap_and_empty():
    logp = -torch.rand(3, 5)
    mapped = torch.vmap(lambda x: bandpo.band(x, 0.05))(logp)
    for one, other in zip(mapped, bandpo.band(logp, 0.05), strict=True):
        assert torch.equal(one, other)
    assert bandpo.band(logp[:0], 0.05).high.shape == (0, 5)


def test_the_grid_of_the_other_tests_reaches_both_ends_of_the_table():
    assert min(LOGPS) < -50
    assert max(LOGPS) > -1e-11
