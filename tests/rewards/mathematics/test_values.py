"""Values, powers and special functions: balls that contain what mpmath finds, sizes that are refused."""

import mpmath
import pytest
from flint import acb, arb, ctx, fmpq
from hypothesis import given
from hypothesis import strategies as st

from bandpo.rewards.mathematics.errors import TooLarge, Undefined, Unreadable
from bandpo.rewards.mathematics.nodes import Dots, Number, Quotient, Sum, Symbol, number
from bandpo.rewards.mathematics.ordering import order
from bandpo.rewards.mathematics.powers import power
from bandpo.rewards.mathematics.same import same
from bandpo.rewards.mathematics.special import determinant, function_value
from bandpo.rewards.mathematics.values import Budget, Evaluator
from tests.rewards.mathematics.verdicts import is_paid, parsed, table

BALLS = {
    "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan, "sec": mpmath.sec, "csc": mpmath.csc, "cot": mpmath.cot,
    "arctan": mpmath.atan, "sinh": mpmath.sinh, "cosh": mpmath.cosh, "tanh": mpmath.tanh, "coth": mpmath.coth,
    "arcsinh": mpmath.asinh, "ln": mpmath.log, "log10": mpmath.log10,
}  # fmt: skip


def contains(ball: arb, value: mpmath.mpf) -> bool:
    return abs(ball - arb(mpmath.nstr(value, 40))) < arb("1e-20")


@pytest.mark.parametrize("name", BALLS)
@given(st.fractions(min_value="1/7", max_value=9, max_denominator=50))
def test_functions_against_mpmath(name, argument):
    ctx.prec = 128
    with mpmath.workdps(45):
        expected = BALLS[name](mpmath.mpf(argument.numerator) / argument.denominator)
        value = function_value(name, [fmpq(argument.numerator, argument.denominator)], True)
        assert contains(arb(value), expected)


@pytest.mark.parametrize(
    "name, arguments, value",
    [
        ("factorial", [5], 120), ("binomial", [10, 3], 120), ("binomial", [3, 10], 0), ("gcd", [12, 18], 6),
        ("lcm", [4, 6], 12),
        ("max", [2, 7], 7), ("min", [2, 7], 2), ("sgn", [-3], -1), ("abs", [-3], 3), ("ln", [1], 0),
    ],
)  # fmt: skip
def test_exact_functions(name, arguments, value):
    assert function_value(name, [fmpq(argument) for argument in arguments], True) == value


@pytest.mark.parametrize(
    "name, arguments, error",
    [
        ("ln", [fmpq(0)], Undefined), ("ln", [fmpq(-1)], Undefined), ("factorial", [fmpq(-1)], Undefined),
        ("gcd", [fmpq(1, 2), fmpq(1)], Undefined), ("sin", [fmpq(10**16)], TooLarge), ("foo", [fmpq(1)], Unreadable),
        ("floor", [acb(1, 1)], Undefined), ("binomial", [fmpq(-1), fmpq(2)], Undefined),
        ("factorial", [fmpq(10**16)], TooLarge),
    ],
)  # fmt: skip
def test_functions_without_a_value(name, arguments, error):
    with pytest.raises(error):
        function_value(name, arguments, True)


@given(st.fractions(min_value=-9, max_value=9, max_denominator=9), st.integers(-6, 6))
def test_integer_powers_are_exact(base, exponent):
    value = fmpq(base.numerator, base.denominator)
    if base == 0 and exponent <= 0:
        with pytest.raises(Undefined):
            power(value, fmpq(exponent), True)
    else:
        expected = base**exponent
        assert power(value, fmpq(exponent), True) == fmpq(expected.numerator, expected.denominator)


def test_roots():
    assert power(fmpq(4, 9), fmpq(1, 2), True) == fmpq(2, 3)
    assert power(fmpq(-8), fmpq(1, 3), True).contains(-2)
    assert acb(power(fmpq(-4), fmpq(1, 2), False)).overlaps(acb(0, 2))
    with pytest.raises(Undefined):
        power(fmpq(-4), fmpq(1, 2), True)
    with pytest.raises(TooLarge):
        power(fmpq(3, 2), fmpq(2**70, 3), True)


@given(st.lists(st.integers(-9, 9), min_size=9, max_size=9))
def test_determinant_of_three_rows(entries):
    a, b, c, d, e, f, g, h, i = entries
    rows = [[fmpq(x) for x in entries[n : n + 3]] for n in (0, 3, 6)]
    assert determinant(rows) == a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def test_evaluator_spends_its_budget_and_knows_what_has_no_value():
    budget = Budget(10_000)
    assert Evaluator({"x": fmpq(2)}, 96, True, budget)(Sum((Symbol("x"), number(3)))) == 5 and budget.left < 10_000
    with pytest.raises(TooLarge):
        Evaluator({}, 96, True, Budget(1))(number(3))
    with pytest.raises(Undefined):
        Evaluator({}, 96, True, Budget())(Quotient(number(1), number(0)))
    for node in (Symbol("y"), Dots()):
        with pytest.raises(Unreadable):
            Evaluator({}, 96, True, Budget())(node)


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_rational_numbers_are_compared_exactly(one, other):
    assert same(Number(one), Number(other), Budget()) is (one == other)
    assert order(Number(one), Number(other), Budget()) == (one > other) - (one < other)


@pytest.mark.parametrize(
    "less, more",
    [
        ("3", r"\pi"),
        (r"\sqrt{2}", "1.4142135624"),
        ("-1", "0"),
        (r"\pi^4 + \pi^5", "e^6"),
        ("5", r"\infty"),
        (r"-\infty", "5"),
    ],
)
def test_order(less, more):
    one, other = parsed(less).value, parsed(more).value
    assert order(one, other, Budget()) == -1 and order(other, one, Budget()) == 1 and order(one, one, Budget()) == 0
    assert order(Symbol("x"), parsed("5").value, Budget()) is None


@pytest.mark.parametrize(
    "reference, answer",
    table(
        (r"e^{\pi\sqrt{163}}", "262537412640768744"),
        (r"\sqrt{2}", "1.4142135623730950488016887242096980785696718753769"),
        ("10^{100}", "10^{100} + 1"),
        (r"\pi", r"\pi + 10^{-1000}"),
        ("1", r"\tanh(100)"),
        ("x", r"x + 10^{-300}"),
        ("0", "0/0"),
        ("1/0", "2/0"),
        ("1", "0^0"),
        ("x", r"\arcsin(\sin x)"),
        ("x", r"\sqrt{x^2}"),
        ("(-1)^n", "(-1)^{n+1}"),
        ("i", "-i"),
        (r"\pi", r"\pi + 10^{-2000}"),
        (r"\sin(x)", r"\sin(x) + 10^{-200}"),
        ("1", r"\tanh(10000)"),
        ("1", r"\coth(5000)"),
        ("-1", r"\tanh(-20000)"),
        ("1", r"\tanh(10^9)"),
        (r"\sinh(10000)", r"\cosh(10000)"),
        (r"2\ln|x|", r"2\ln x"),
        (r"\ln|x-1|+C", r"\ln(x-1)+C"),
        (r"\log_2|x|", r"\log_2 x"),
    ),
)
def test_near_equality_is_no_equality(reference, answer):
    assert not is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("0", r"(\sqrt2\sqrt3 - \sqrt6)^2"),
        ("-1", r"e^{i\pi}"),
        ("-2", r"\sqrt[3]{-8}"),
        (r"\frac{\sqrt5+1}{2}", r"2\cos\frac{\pi}{5}"),
        ("1", r"\tan 1^\circ \tan 89^\circ"),
        ("x+1", r"\frac{x^2-1}{x-1}"),
        ("|x|", r"\sqrt{x^2}"),
        (r"\ln|x|", r"\frac{1}{2}\ln(x^2)"),
        (r"\ln x", r"\ln|x|"),
        (r"\ln|x-1|-\ln|x|", r"\ln\left|\frac{x-1}{x}\right|"),
        (r"\tanh x", r"\frac{e^x-e^{-x}}{e^x+e^{-x}}"),
        ("1", r"\cosh^2 x - \sinh^2 x"),
        (r"\sqrt{5+2\sqrt6}", r"\sqrt2+\sqrt3"),
        (r"\frac{\pi}{4}", r"4\arctan\frac{1}{5} - \arctan\frac{1}{239}"),
        (r"2 + 3i", r"\frac{-1 + 5i}{(1+i)/1} \cdot \frac{2+3i}{2+3i}"),
        open=[("(-1)^n", r"\cos(n\pi)")],
        reason="equality for integers only",
    ),
)
def test_identities(reference, answer):
    assert is_paid(reference, answer)
