"""Numbers against the fractions module."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.nodes import Number
from bandpo.rewards.mathematics.numerals import recurring
from tests.rewards.mathematics.verdicts import is_paid, parsed, table


def read(text: str) -> Fraction:
    value = parsed(text).value
    assert isinstance(value, Number)
    return value.value


@given(st.integers(0, 10**12), st.integers(0, 8))
def test_decimals_are_exact(digits, places):
    text = (
        f"{Fraction(digits, 10**places).limit_denominator(10**9)!s}" if places == 0 else str(digits).zfill(places + 1)
    )
    written = text if places == 0 else f"{text[:-places]}.{text[-places:]}"
    assert read(written) == Fraction(digits, 10**places)


@given(st.integers(1, 10**6))
def test_groups_of_three_are_one_number(value):
    assert is_paid(str(value), f"{value:,}") and is_paid(str(value), f"{value:,}".replace(",", "{,}"))
    assert is_paid(str(value), f"{value:,}".replace(",", " "))


@given(st.integers(0, 99), st.text("0123456789", max_size=3), st.text("0123456789", min_size=1, max_size=4))
def test_recurring_decimals_are_geometric_series(whole, start, period):
    expected = Fraction(f"{whole}.{start}" if start else whole) + Fraction(
        int(period), 10 ** len(start) * (10 ** len(period) - 1)
    )
    assert recurring(f"{whole}.{start}", period).value == expected
    assert read(rf"{whole}.{start}\overline{{{period}}}") == expected
    assert read(f"{whole}.{start}({period})") == expected or not start


@pytest.mark.parametrize(
    "text, value",
    [
        ("0.333...", Fraction(1, 3)),
        (r"0.1666\ldots", Fraction(1, 6)),
        ("0.1212...", Fraction(12, 99)),
        (r"0.\dot{3}", Fraction(1, 3)),
        (r"0.\dot{1}4285\dot{7}", Fraction(1, 7)),
        ("1.5e3", Fraction(1500)),
        ("2E-2", Fraction(1, 50)),
        ("007", Fraction(7)),
        (".5", Fraction(1, 2)),
    ],
)
def test_spellings(text, value):
    assert read(text) == value


@pytest.mark.parametrize("text", ["3.14...", "1.2.3", "5..", "1..2", "1 2", "0.12345..."])
def test_digits_that_are_no_number(text):
    with pytest.raises(Unreadable):
        parsed(text)


@pytest.mark.parametrize("start, period", [("3", "3"), ("0.", "")])
def test_recurring_needs_a_point_and_a_period(start, period):
    with pytest.raises(Unreadable):
        recurring(start, period)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        (r"\frac{1}{3}", "0.333"),
        (r"\frac{1}{3}", "0.3333333333"),
        (r"\pi", "3.14159265358979"),
        ("1000001", "1000000"),
        ("0.96", "0.16(6)"),
        (r"\frac{22}{7}", r"\pi"),
        ("2e-1", "0.2"),
        ("3e+2", "300"),
    ),
)
def test_near_is_not_equal(reference, answer):
    assert not is_paid(reference, answer)
