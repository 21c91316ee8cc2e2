"""The rules of equality: lists, sets, points, equations, ratios, times, dates, bases, words."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rewards.mathematics.verdicts import is_paid, table

SMALL = st.lists(st.integers(-20, 20), min_size=2, max_size=6)


@given(SMALL, st.randoms())
def test_lists_and_sets_have_no_order(values, random):
    shuffled = random.sample(values, len(values))
    one, other = (", ".join(map(str, items)) for items in (values, shuffled))
    assert (
        is_paid(one, other)
        and is_paid(rf"\{{{one}\}}", rf"\{{{other}\}}")
        and is_paid(rf"\{{{one}\}}", other) == (len(set(values)) > 1 or True)
    )


@given(SMALL, SMALL)
def test_lists_are_multisets_and_braces_are_sets(one, other):
    texts = [", ".join(map(str, items)) for items in (one, other)]
    assert is_paid(*texts) is (sorted(one) == sorted(other))
    assert is_paid(*(rf"\{{{text}\}}" for text in texts)) is (set(one) == set(other))


@pytest.mark.parametrize("values", [("1", "2", "3"), ("x", "y", "0"), (r"\sqrt{2}", "-1", r"\frac{1}{2}")])
def test_tuples_have_an_order(values):
    reference = f"({', '.join(values)})"
    for items in permutations(values):
        assert is_paid(reference, f"({', '.join(items)})") is (items == values)
        assert is_paid(f"[{', '.join(values)}]", f"[{', '.join(items)}]") is (items == values)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("(3, 5)", "3 < x < 5"), (r"(3, \infty)", "x > 3"), (r"\mathbb{R} \setminus \{3\}", r"x \ne 3"),
        ("1", r"\{1\}"),
        ("(1, 2)", "x = 1, y = 2"), ("x = 1, y = 2", "(1, 2)"), ("x = 1, y = 2", "y = 2, x = 1"), (r"\pm 1", "1, -1"),
        ("x = 1 or x = 2", "1, 2"), ("x_1 = 1, x_2 = 2", "2, 1"), ("1", "1 or 1"), ("(1, 2)", "(1; 2)"),
        ("1:2", "2:4"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "(1, 2)"), ("(1, 2), (3, 4)", "(3, 4), (1, 2)"),
        ("1:2", r"\frac{1}{2}"),
        (r"(\pm 1, 2)", "(1, 2), (-1, 2)"), ("y = 2x + 1", "2x + 1"), ("y = 2x + 1", "2x - y + 1 = 0"),
        ("x + y = 4", "y = 4 - x"),
        ("5", "x = 5"), ("5", "5 = x"), ("5", "f(2) = 5"), ("5", "AB = 5"), ("5", "x + y = 5"),
        ("5", "x = 2 + 3 = 5"),
        (r"4 \pmod 9", r"13 \pmod 9"), (r"4 \pmod 9", "4"), ("10:30 pm", "10:30"), ("March 5", "5 March"),
        ("101_2", "5"),
        ("101_2", "101"), ("yes", "Yes, it is."), ("no solution", r"\emptyset"), ("all real numbers", r"\mathbb{R}"),
        ("5", "five"),
        (r"\frac{1}{3}", r"\frac{1}{3} \approx 0.33"), ("x < 3 or x > 5", r"(-\infty, 3) \cup (5, \infty)"),
        ("|x - 1| < 2", "-1 < x < 3"),
        ("5", "x = y = 5"), ("5", r"A = \frac{1}{2}bh = 5"), ("(1, 2)", "(y, x) = (2, 1)"),
        ("(1, 2)", "y = 2, x = 1"), (r"\log_{10} 5", r"\log 5"), ("0", r"(\pi - \pi)^2"),
        ("f(x) = x^2", "f(t) = t^2"), ("f(x, y) = x + 2y", "f(a, b) = a + 2b"), ("f(x) = 5", "f(t) = 5"),
        ("P(A) = 1/2", "P(A) = 0.5"), ("even", "even function"),
        (r"n \equiv 1 \pmod 4", "n = 4k + 1"), ("n = 4k + 1", r"n \equiv 1 \pmod 4"),
        (r"n \equiv 1 \pmod 4", r"n = 4m - 3, m \in \mathbb{Z}"), (r"n \equiv 1 \pmod 4", "n = 1 - 4k"),
        ("noon", "12:00 pm"), ("12 pm", "noon"), ("midnight", "12 am"), ("12 noon", "12:00"), ("5 pm", "17:00"),
        ("1, 2", r"1 \quad 2"), ("x = 1, y = 2", r"x = 1 \quad y = 2"),
        ("x = 1 or x = 2", r"x = 1 \quad \text{or} \quad x = 2"),
        open=[("red, blue", "blue, red")],
        reason="chains through other names, the order of names, powers of a ball around zero",
    ),
)  # fmt: skip
def test_equal(reference, answer):
    assert is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("(1, 2)", "1, 2"), ("(1, 2)", "(2, 1)"), ("(1, 2)", "[1, 2]"), ("[1, 2)", "(1, 2]"),
        (r"\{1, 2\}", "(1, 2)"), ("1", "1, 1"),
        ("(3, 5)", r"3 \le x < 5"), ("x = 1, y = 2", "y = 1, x = 2"), ("x = 1, y = 2", "2, 1"), ("x = 5", "y = 5"),
        ("1", r"\pm 1"),
        ("x = 1, y = 2", "x = 1"), ("2", "x = 1 or x = 2"), ("x^2 = 4", "x = 2"), ("4", "x^2 = 4"), ("12", "3x = 12"),
        ("5", "-x = 5"), ("5", "x = 5 = 6"), ("5", r"x \ne 5"), ("5", "x < 5"), ("5", r"x \approx 5"),
        ("5", "1/x = 5"),
        ("1:2", "2:1"), ("0.5", "1:2"), (r"x \equiv 4 \pmod 9", "4"), ("4", r"13 \pmod 9"), ("10:30 pm", "10:30 am"),
        ("March 5", "May 3"), ("101_2", "101_3"), ("yes", "yes, but no"), ("no solution", "0"), ("0", "none"),
        (r"\emptyset", r"\{0\}"), ("3 < x < 5", "x > 3 or x < 5"), ("1, 234", "1234"), ("(1,234)", "1234"),
        (r"\infty", r"-\infty"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}"),
        ("(1, (2, 3))", "(1, 2, 3)"),
        ("y = 2x + 1", "y > 2x + 1"), ("y = 2x + 1", "x = 2y + 1"), ("xy = 0", "x = 0"),
        ("x + y = 4", "(x + y)^2 = 16"),
        ("5", "x - 1 = 5"), ("5", "-1 + x = 5"), ("x = 5", "|x| = 5"), ("9", "xx = 9"), ("7", "x + x = 7"),
        ("7", "x/x = 7"), ("(1, 2)", "(y, x) = (1, 2)"), ("x = 1, y = 2", "x = 1, x = 2"), ("12", "12_7"),
        ("101", "101_2"), ("6", r"5 \approx 6"), ("x < 3 or x > 5", "x < 3 and x > 5"), ("25", "twenty, five"),
        ("x_1 = 1, x_2 = 2", "x_1 = 2, x_2 = 1"), (r"\pi", r"\pi \approx 3.2"),
        ("f(x) = x^2", "f(t) = x^2"), ("f(x) = x^2", "f(t) = t^3"), ("f(x, y) = x + 2y", "f(y, x) = x + 2y"),
        ("f(x) = ax", "f(a) = ax"), ("f(2) = 5", "f(3) = 5"), ("P(A) = 1/2", "P(B) = 1/2"),
        (r"n \equiv 1 \pmod 4", "n = 4k + 3"), (r"n \equiv 1 \pmod 4", "n = 8k + 1"),
        (r"n \equiv 1 \pmod 4", "n = 4k^2 + 1"), (r"n \equiv 1 \pmod 4", "m = 4k + 1"),
        (r"n \equiv 1 \pmod 4", "n = 5"), (r"n \equiv 1 \pmod 4", "n = 4n + 1"),
        ("noon", "midnight"), ("noon", "12 am"), ("5 pm", "5 am"), ("5", "5 pm"), ("noon", "afternoon"),
        ("7", r"7 \quad 3"), ("ab", r"a \quad b"), ("12", r"1 \quad 2"),
    ),
)  # fmt: skip
def test_not_equal(reference, answer):
    assert not is_paid(reference, answer)


def test_equations_are_equal_up_to_a_factor_and_inequalities_up_to_a_positive_one():
    assert is_paid("x + 2y = 3", "2x + 4y = 6") and is_paid("x + 2y = 3", "-x - 2y = -3")
    assert is_paid("x + 2y < 3", "2x + 4y < 6") and is_paid("x + 2y < 3", "-x - 2y > -3")
    assert not is_paid("x + 2y < 3", "-x - 2y < -3") and not is_paid("x + 2y = 3", "2x + 4y = 3")
