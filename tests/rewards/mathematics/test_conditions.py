"""Conditions behind answers: understood on one side, never a place for a second answer."""

import pytest

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.forms import Conditional
from tests.rewards.mathematics.verdicts import is_paid, parsed, table


@pytest.mark.parametrize(
    "text, count",
    table(
        ("x^2 for all real x", 0),
        (r"2\pi k, k \in \mathbb{Z}", 1),
        ("n! (n > 1)", 1),
        (r"2k+1 \text{ where } k \text{ is an integer}", 0),
        ("2 x, x > 0, x < 5", 2),
    ),
)
def test_conditions_are_kept_apart(text, count):
    form = parsed(text)
    assert isinstance(form, Conditional) and len(form.relations) == count


@pytest.mark.parametrize(
    "text", ["5 for x > 2", "5 where 6", "x^2 for 5", "x^2 where maybe", "5 (x = 6)", "x^2 for x > 2 or 3x"]
)
def test_what_is_no_condition(text):
    with pytest.raises(Unreadable):
        parsed(text)


@pytest.mark.parametrize(
    "reference, answer",
    [
        (r"2\pi k, k \in \mathbb{Z}", r"2\pi n, n \in \mathbb{Z}"),
        ("x^2", "x^2 for all real x"),
        ("x^2, x > 0", "x^2"),
        (r"\frac{1}{n}, n \ge 1", r"\frac{1}{n} \text{ for } n \ge 1"),
        ("2x, 0 < x < 5", "2x, x > 0, x < 5"),
        (r"x^2, x > 0", r"x^2 \quad x > 0"),
        (r"2k\pi, k \in \mathbb{Z}", r"2k\pi \qquad k \in \mathbb{Z}"),
        ("5", "x = 5, x > 0"),
        ("5", r"x = 5, x \in \mathbb{Z}"),
        (r"\frac{5}{2}", r"x = \frac{5}{2}, x \in \mathbb{R}"),
        ("x = 1, x = 2", r"x = 1, x = 2, x \ne 0"),
    ],
)
def test_understood(reference, answer):
    assert is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        (r"2\pi k, k \in \mathbb{Z}", r"2\pi k, k \in \mathbb{N}"), ("x^2, x > 0", "x^2, x < 0"),
        ("x^2", "x^2 if x > 0"),
        (r"2\pi k, k \in \mathbb{Z}", r"\pi k, k \in \mathbb{Z}"), ("5", "x = 5 if x > 2"), ("5", "5 if 6"),
        ("2x, 0 < x < 5", "2x, x > 0, x < 4"), ("2x, x > 0, x < 5", "2x, x > 0"), ("5", "x = 5, x < 0"),
        ("5", r"x = 5, x > 0, x \ne 5"), (r"\frac{5}{2}", r"x = \frac{5}{2}, x \in \mathbb{Z}"),
        ("-5", r"x = -5, x \in \mathbb{N}"), ("x = 1, x = 2", "x = 1, x = 2, x < 2"), ("x^3", r"x^2 \quad x"),
        ("5", r"x = 5, x \in \{5\}"), ("-1", "x = -1, 2 < x < 3"),
        ("5", "x = 5 (x = 6)"), ("5", "x=5 where x = 6"), ("5", r"x=5, x \ne 5"), ("5", "x=5, x>7"),
        ("x", "x (x = 5)"), ("2x", "2x where 3x"), ("2x", "2x with 5x"), ("5", r"x=5, x \in \{5,6\}"),
    ),
)  # fmt: skip
def test_refused(reference, answer):
    assert not is_paid(reference, answer)
