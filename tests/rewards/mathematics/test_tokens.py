"""The closed vocabulary: kinds of tokens, words apart from formulas, and what is outside."""

import pytest

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.tokens import tokenise


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenise(text)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("12.5x", [("number", "12.5"), ("letters", "x")]),
        (".5", [("number", ".5")]),
        (r"\frac12", [("command", r"\frac"), ("number", "12")]),
        (r"\text{cm}", [("word", "cm")]),
        (r"\text{ 3 or }", [("number", "3"), ("word", "or")]),
        (r"\mathrm{e}^x", [("letters", "e"), ("sign", "^"), ("letters", "x")]),
        (r"\vec{a}", [("vector", "a")]),
        (r"\operatorname{lcm}", [("letters", "lcm")]),
        (r"\text{no solution}", [("word", "no"), ("word", "solution")]),
        ("x**2", [("letters", "x"), ("sign", "**"), ("number", "2")]),
        ("<=", [("sign", "<=")]),
        (r"\boxed{5}", [("number", "5")]),
        ("", []),
    ],
)
def test_tokens(text, expected):
    assert kinds(text) == expected


def test_blanks_are_remembered():
    assert [token.is_spaced for token in tokenise("5 m")] == [False, True]
    assert [token.is_spaced for token in tokenise(r"5 \text{m}")] == [False, True]


@pytest.mark.parametrize("text", ["€", "5 @ 6", "🙂", "→", r"\text{a", r"\mathrm", "х", "\x00"])
def test_what_is_outside_is_unreadable(text):
    with pytest.raises(Unreadable):
        tokenise(text)
