"""One spelling: what carries no meaning goes, what carries one stays."""

import pytest

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.text import LONGEST, clean
from tests.rewards.mathematics.verdicts import is_paid, table


@pytest.mark.parametrize(
    "written, cleaned",
    [
        ("$5$", "5"),
        ("**5**", "5"),
        ("`5`", "5"),
        ("5.", "5"),
        ("５", "5"),
        ("−5", "-5"),
        ("\u200b5\u200b", "5"),
        (r"\left(\frac{1}{2}\right)", r"(\frac{1}{2} )"),
        (r"\dfrac12", r"\frac12"),
        ("1{,}000", "1000"),
        ("1 000 000", "1000000"),
        (r"1\,000", "1000"),
        ("x²", "x^{2}"),
        ("x₁₂", "x_{12}"),
        ("½", r"\frac{1}{2}"),
        ("2**3", "2**3"),
        ("", ""),
        ("...", "..."),
    ],
)
def test_spelling(written, cleaned):
    assert clean(written) == cleaned
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("written", ["1{,}00", r"1\,0000", "12{,}34{,}567", "1" * (LONGEST + 1)])
def test_what_has_no_spelling(written):
    with pytest.raises(Unreadable):
        clean(written)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        (r"\sqrt{2}", "√2"),
        (r"2\pi", "2π"),
        (r"x \ge 5", "x≥5"),
        ("10^{-3}", "10⁻³"),
        (r"\alpha + \beta", "α+β"),
        (r"(1,2)\cup(3,4)", "(1,2)∪(3,4)"),
        ("-5", "–5"),
        ("1, 2", "1，2"),
        ("x", "𝑥"),
        (r"\frac{3}{4}", "¾"),
        ("2^n", "2ⁿ"),
        (r"\mathbb{R}", "ℝ"),
        (r"\$1000", "$1,000"),
        ("2^x", "2ˣ"),
        ("a^b", "aᵇ"),
        ("x_i", "xᵢ"),
    ),
)
def test_unicode_says_the_same(reference, answer):
    assert is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("x", "х"),
        ("0", "O"),
        ("1", "l"),
        ("1234", "1.234"),
        ("12345", "1,2345"),
        ("12", "1 2"),
        ("x2", "x²"),
        ("56", "5⁶"),
        (r"\sqrt{2x}", "√2x"),
        ("5", "5′"),
        ("12", "1²"),
        ("0.5", "0,5"),
        ("2x", "2ˣ"),
        ("ax", "aˣ"),
        ("3t", "3ᵗ"),
        ("25", "2⑤"),
    ),
)
def test_unicode_that_says_something_else(reference, answer):
    assert not is_paid(reference, answer)
