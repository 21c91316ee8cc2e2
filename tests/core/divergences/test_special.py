import math

import mpmath
import pytest
import torch

from bandpo.core.divergences.special import expm1, log1mexp, phi, power_of_two, root_of_scale

from ..helpers import ulp

mpmath.mp.dps = 60
MAGNITUDES = [10.0**e for e in range(-30, 2)] + [0.3, 0.7, math.log(2), 0.999999, 1.0, 1.000001, 2.5, 30.0, 80.0]
EXACT = {
    expm1: mpmath.expm1,
    phi: lambda x: mpmath.expm1(x) - x,
    log1mexp: lambda x: mpmath.log(-mpmath.expm1(x)),
}


def worst_error(function, inputs, outputs):
    pairs = zip(inputs.tolist(), outputs.tolist(), strict=True)
    truths = [(EXACT[function](mpmath.mpf(x)), y) for x, y in pairs]
    return max(float(abs(y - t)) / ulp(float(t), outputs.dtype) for t, y in truths)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", [expm1, phi])
def test_expm1_and_phi_are_right_to_four_ulp(function, dtype):
    x = torch.tensor([s * m for m in MAGNITUDES for s in (1, -1)], dtype=torch.float64).to(dtype)
    assert worst_error(function, x, function(x)) <= 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log1mexp_is_right_to_four_ulp(dtype):
    x = torch.tensor([-m for m in MAGNITUDES], dtype=torch.float64).to(dtype)
    assert worst_error(log1mexp, x, log1mexp(x)) <= 4


def test_values_at_zero_and_infinity():
    x = torch.tensor([0.0, -math.inf, math.inf])
    assert expm1(x).tolist() == [0.0, -1.0, math.inf]
    assert phi(x[:2]).tolist() == [0.0, math.inf]
    assert log1mexp(x[:2]).tolist() == [-math.inf, 0.0]


@pytest.mark.parametrize("function", [expm1, phi, log1mexp])
def test_nan_stays_nan(function):
    assert torch.isnan(function(torch.tensor([math.nan]))).all()


def test_gradient_of_phi_is_expm1():
    x = torch.tensor([-80.0, -1.5, -1.0, -0.3, -1e-9, 1e-9, 0.4, 1.0, 3.0, 20.0], dtype=torch.float64).requires_grad_()
    phi(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.expm1(x.detach()), rtol=1e-12, atol=0)


def test_compiled_expm1_keeps_its_digits_near_zero_where_inductors_own_does_not(compiled):
    x = torch.logspace(-9, -1, 32, dtype=torch.float64)
    assert worst_error(expm1, x, compiled(expm1)(x)) <= 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_powers_of_two_take_the_size_away_and_leave_the_digits(dtype):
    tiny = torch.finfo(dtype).tiny
    x = torch.tensor([tiny, 1e-30, 0.3, 0.5, 1.0, 1.9999, 2.0, 5.0, 19.9, 1e30], dtype=dtype)
    found = power_of_two(x)
    assert found.tolist() == [math.ldexp(1.0, math.frexp(value)[1] - 1) for value in x.tolist()]
    assert torch.equal(x / found * found, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_of_scale_leave_a_number_between_1_and_4(dtype):
    x = torch.tensor([1e-30, 3e-20, 1e-9, 0.05, 0.24, 0.25, 0.9, 1.0, 3.9, 4.0, 19.9], dtype=dtype)
    scales = root_of_scale(x)
    assert scales.tolist() == [root_of_scale(value) for value in x.tolist()]
    left = x / (scales * scales)
    assert ((left >= 1) & (left < 4)).all()
    assert all(math.frexp(scale)[0] == 0.5 for scale in scales.tolist())
