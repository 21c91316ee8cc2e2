"""Lists, sets, intervals, points, ratios, congruences and pieces: what brackets make of values."""

import pytest

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.forms import (
    Builder,
    Cases,
    Congruence,
    Difference,
    Finite,
    Group,
    Listing,
    Numbers,
    Quantity,
    Ratio,
    Relation,
    Span,
    Union,
)  # fmt: skip
from tests.rewards.mathematics.verdicts import parsed

FORMS = {
    "1, 2": Listing, "1 and 2": Listing, "1 or 2": Listing, r"\pm 1": Listing, "(1, 2)": Group, "(1, 2, 3)": Group,
    "[1, 2]": Span, "[1, 2)": Span, "]1, 2[": Span, r"(0, \infty)": Span, "[1, 2, 3]": Group, r"\{1, 2\}": Finite,
    r"\emptyset": Finite, r"\{\}": Finite, r"\mathbb{Z}": Numbers, r"\mathbb{R}": Span, r"\mathbb{R}^+": Span,
    r"(0,1) \cup (2,3)": Union, r"\mathbb{R} \setminus \{0\}": Difference, r"\{x | x > 3\}": Builder, "x = 5": Relation,
    "1 < x < 2": Relation, "> 5": Relation, r"x \in [0,1]": Relation, "3:4": Ratio, "3 to 4": Ratio,
    r"3 \text{ out of } 4": Quantity,
    r"x \equiv 3 \pmod 7": Congruence, "3 mod 7": Congruence, "(1)": Quantity, "[5]": Quantity,
    r"\begin{cases} x & x > 0 \\ -x & \text{otherwise} \end{cases}": Cases,
    r"\begin{cases} x = 1 \\ y = 2 \end{cases}": Listing, r"\langle 1, 2 \rangle": Group, "(x, y) = (1, 2)": Relation,
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_form(text):
    assert type(parsed(text)) is FORMS[text]


@pytest.mark.parametrize(
    "text",
    [
        "1, 2 and 3 or 4", "(1, 2]]", "[1, 2, 3)", r"\{1, 2)", "(1, 2", r"\{x | 5\}", r"\{5 | x > 3\}", "3 out of 2",
        "3 cm : 4",
        r"x \equiv 3", "1 2", "5 6, 7", r"\{1, 2\} 3", "(1, 2) 3", "1, or so", "x = 5 6", "x > 5 maybe",
        "] 1, 2, 3 [", "",
        r"\begin{cases} 1 \\ 2", "5 vs 6", "5 but 6", "5 to", ", 5", "5 in 6 in 7", r"\cup", "(,)", "1 or or 2 6",
        "5 | 6",
    ],
)  # fmt: skip
def test_what_is_left_over_is_unreadable(text):
    with pytest.raises(Unreadable):
        parsed(text)


def test_openness_of_ends():
    spans = [parsed(text) for text in ("[1, 2]", "(1, 2]", "[1, 2)", "]1, 2]")]
    ends = [(span.is_low_open, span.is_high_open) for span in spans]
    assert ends == [(False, False), (True, False), (False, True), (True, False)]
