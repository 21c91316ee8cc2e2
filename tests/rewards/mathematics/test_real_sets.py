"""Sets of real numbers against membership of sample points."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bandpo.rewards.mathematics.real_sets import pieces, same_set
from bandpo.rewards.mathematics.values import Budget
from tests.rewards.mathematics.verdicts import is_paid, parsed

INTERVALS = st.lists(
    st.tuples(st.integers(-6, 6), st.integers(1, 4), st.booleans(), st.booleans()), min_size=1, max_size=4
)
SAMPLES = [Fraction(n, 2) for n in range(-14, 24)]


def written(intervals: list) -> str:
    return r" \cup ".join(
        f"{'(' if low_open else '['}{low}, {low + width}{')' if high_open else ']'}"
        for low, width, low_open, high_open in intervals
    )


def members(intervals: list) -> set[Fraction]:
    return {
        x
        for x in SAMPLES
        for low, width, low_open, high_open in intervals
        if low < x < low + width or (x == low and not low_open) or (x == low + width and not high_open)
    }


@given(INTERVALS, INTERVALS)
def test_unions_are_equal_where_they_have_the_same_members(one, other):
    forms = [pieces(parsed(written(intervals)), Budget()) for intervals in (one, other)]
    assert same_set(*forms, Budget()) is (members(one) == members(other))


@given(INTERVALS)
def test_a_set_equals_itself_however_it_is_written(intervals):
    text = written(intervals)
    assert is_paid(text, r" \cup ".join(reversed(text.split(r" \cup "))))
    assert is_paid(text, rf"x \in {text}") and is_paid(text, rf"\{{x | x \in {text}\}}")


@given(st.integers(-9, 9), st.integers(1, 9), st.booleans(), st.booleans())
def test_an_interval_as_inequalities(low, width, low_open, high_open):
    high = low + width
    text = f"{'(' if low_open else '['}{low}, {high}{')' if high_open else ']'}"
    signs = {True: ("<", ">"), False: (r"\le", r"\ge")}
    below, above = signs[low_open][0], signs[high_open][0]
    assert is_paid(text, f"{low} {below} x {above} {high}")
    assert is_paid(text, f"{high} {signs[high_open][1]} x {signs[low_open][1]} {low}")
    assert not is_paid(text, f"{low} {signs[not low_open][0]} x {above} {high}")
    assert not is_paid(text, f"{low} {below} x {above} {high + 1}")
