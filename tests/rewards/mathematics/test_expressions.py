"""Expressions, their atoms, functions and commands: one meaning each, none where two readers could differ."""

import mpmath
import pytest

from bandpo.rewards.mathematics.errors import Unreadable
from tests.rewards.mathematics.verdicts import is_paid, parsed, table

VALUES = {
    "-2^2": -4, "(-2)^2": 4, "2^{3^2}": 512, "2^3^2": 512, "6/2*3": 9, r"2\frac{1}{2}": 2.5, "2 1/2": 2.5, "11/2": 5.5,
    r"\frac12": 0.5, r"\frac1{2}": 0.5, r"{1 \over 2}": 0.5, r"\sqrt9": 3, r"\sqrt[3]{-8}": -2, "cbrt(27)": 3,
    "|3-5|": 2,
    "||-2|-5|": 3, r"\lfloor -3.5 \rfloor": -4, r"\lceil \pi \rceil": 4, "5!": 120, r"\binom{5}{2}": 10, "C(5,2)": 10,
    r"{5 \choose 2}": 10, r"_{5}C_{2}": 10, r"^{5}P_{2}": 20, r"\gcd(12, 18)": 6, r"\operatorname{lcm}(4, 6)": 12,
    r"\max(2, 3)": 3, r"\sum_{k=1}^{10} k^2": 385, r"\prod_{k=1}^{5} k": 120, r"\log_2 8": 3, r"\log_{2}{8}": 3,
    r"\lg 100": 2, r"\ln e^2": 2, r"\sin 30^\circ": 0.5, r"\tan\frac{\pi}{4}": 1, r"\sin^2 2 + \cos^2 2": 1,
    r"\begin{vmatrix} 1 & 2 \\ 3 & 4 \end{vmatrix}": -2, "2(3)(4)": 24, "-(-5)": 5, "3 - -2": 5, "2^-1": 0.5, "5th": 5,
    r"\sqrt{2}\sqrt{8}": 4, r"0^{5}": 0, "6 * 2 / 3": 4, r"6 \div 2": 3, "1e3": 1000, r"(1+2)(3+4)": 21,
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_value(text):
    assert is_paid(repr(VALUES[text]), text)
    assert not is_paid(repr(VALUES[text] + 1), text)


@pytest.mark.parametrize(
    "text, value",
    [
        (r"\frac{\sqrt{5}+1}{2}", lambda: mpmath.phi),
        (r"\arctan 2 + \ln 3", lambda: mpmath.atan(2) + mpmath.log(3)),
        (r"\sqrt[5]{7}\, e^{-1/2}", lambda: mpmath.root(7, 5) * mpmath.exp(-0.5)),
        (r"\sinh 1 \cdot \cosh(2)", lambda: mpmath.sinh(1) * mpmath.cosh(2)),
        (r"\cos\frac{2\pi}{7}", lambda: mpmath.cos(2 * mpmath.pi / 7)),
        (r"\sec 1 + \csc 2 + \cot 3", lambda: mpmath.sec(1) + mpmath.csc(2) + mpmath.cot(3)),
        (r"\left(\frac12\right)!", lambda: mpmath.gamma(1.5)),
    ],
)
def test_irrational_values_round_to_those_of_mpmath(text, value):
    with mpmath.workdps(40):
        low, high = (mpmath.nstr(value() + sign * mpmath.mpf(10) ** -25, 35) for sign in (-1, 1))
        middle = mpmath.nstr(value(), 25)
    assert is_paid(rf"\lfloor 10^{{20}}({text}) \rfloor", rf"\lfloor 10^{{20}} \cdot ({middle}) \rfloor")
    assert not is_paid(text, low) and not is_paid(text, high)


@pytest.mark.parametrize(
    "text",
    table(
        "1/2x", "a/bc", r"\sin x/2", r"2\frac{7}{4}", "3 5", "3!!", "x^2!", r"\sqrt ab x y word", "x +", "* 2", "()",
        "(1",
        r"\frac{1}", r"\sqrt", r"\foo{2}", "x^", "2^{}", r"\sum k", r"\begin{pmatrix} 1 & 2 \\ 3 \end{pmatrix}",
        "sin",
        r"\sin_2 x", r"\sin(1, 2)", "(" * 30 + "1" + ")" * 30, "hello + 1", r"\pm 1 \pm 2", r"\sin(x)^{-1}",
        r"\tan(x)^-1", r"\sin(30)^\circ", r"\sin^2(x)^2", r"\ln(x)^(-2)",
        r"\frac.5 2",
        r"6 \div 2(3)",
    ),
)  # fmt: skip
def test_what_two_readers_could_differ_in_is_unreadable(text):
    with pytest.raises(Unreadable):
        parsed(text)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        (r"\frac{\sqrt{3}}{2}", r"\sqrt3/2"),
        ("x^2+2x+1", "(x+1)^2"),
        (r"\sin 2x", r"2\sin x\cos x"),
        (r"\arctan x", r"\tan^{-1} x"),
        (r"\log_2 3", r"\frac{\ln 3}{\ln 2}"),
        (r"\sin^2 x", r"(\sin x)^2"),
        ("ab", "ba"),
        (r"\vec{a} + 2\vec{b}", r"2\mathbf{b} + \mathbf{a}"),
        ("e^x", r"\exp(x)"),
        (r"\frac{1}{2}x", "x/2"),
        (r"\frac{n(n+1)}{2}", r"\sum_{k=1}^{n} k"),
        ("a_n", "a_{n}"),
        ("f'(2)", "f'(2)"),
        ("n!", r"n \cdot (n-1)!"),
        (r"\overline{AB}", "AB"),
        (r"\frac{n(n+1)}{2}", r"\sum_{i=1}^{n} i"),
        (r"\sin^2 x", r"\sin(x)^2"),
        (r"\ln^3(x+1)", r"\ln(x+1)^3"),
        ("1", r"\cos(x)^2 + \sin(x)^{2}"),
        (r"\log_2^2 5", r"\log_2(5)^2"),
        ("14", r"\sum_{i=1}^{3} i^2"),
    ),
)
def test_same_expression(reference, answer):
    assert is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        (r"\sin^2 x", r"\sin x^2"),
        (r"\frac{1}{\tan x}", r"\tan^{-1} x"),
        (r"\sqrt{x+1}", r"\sqrt x + 1"),
        ("x^{2y}", "x^2y"),
        ("-x^2", "(-x)^2"),
        (r"\ln 5", r"\log_{10} 5"),
        ("0.5", r"\sin 30"),
        ("f(x+1)", "f(x)+f(1)"),
        ("a_{n+1}", "a_n + 1"),
        ("x_1", "x_2"),
        ("n^2", "m^2"),
        ("2+3i", "2-3i"),
        (r"\sin(x^2)", r"\sin(x)^2"),
        (r"\ln(x^2)", r"\ln(x)^2"),
        ("3i", r"\sum_{i=1}^{3} i"),
    ),
)
def test_another_expression(reference, answer):
    assert not is_paid(reference, answer)
