"""Words before an answer: "The area is 12", "Total: 5", "(C) 12"; what they say must not take the answer back."""

from __future__ import annotations

from collections.abc import Sequence

from bandpo.rewards.mathematics.functions import GREEK, function
from bandpo.rewards.mathematics.tokens import END, Token
from bandpo.rewards.mathematics.words import ALTERING, HEDGES, NUMBERS

_LINKS = frozenset(
    "is are equals equal be get obtain have has gives yields becomes was were at costs takes weighs measures contains "
    "totals earns receives saved spent pays 是 为 等于 有 共有".split()
)
_LONGEST = 16
_WITHIN = frozenset(["'", ",", "\\triangle", "\\angle", "\\overline", "{", "}"])
_CHOICES = "ABCDEFGHIJ"


def without_label(tokens: Sequence[Token]) -> list[Token]:
    """Return tokens without the words and the sign that lead to an answer, as they are where there is no such label.

    >>> from bandpo.rewards.mathematics.labels import without_label
    >>> from bandpo.rewards.mathematics.tokens import tokenise
    >>> [token.text for token in without_label(tokenise(r"\\text{The area is } 12"))]
    ['12']
    >>> [token.text for token in without_label(tokenise(r"\\text{It is not } 12"))][:2]
    ['not', '12']
    """
    left = _without_choice(tokens)
    for _ in range(2):
        end = _label_end(left)
        if end == 0 or end >= len(left):
            break
        left = left[end:]
    is_stressed = len(left) > 1 and left[0].text.lower() in ("exactly", "precisely", "only", "just")
    return list(left[1:] if is_stressed else left)


def _label_end(tokens: Sequence[Token]) -> int:
    """Return how many tokens the label takes, 0 without one."""
    has_word = False
    for n, token in enumerate(tokens[:_LONGEST]):
        text, following = token.text.lower(), tokens[n + 1] if n + 1 < len(tokens) else END
        is_prose = _is_prose(token)
        is_contraction = token.text == "'" and following.text.lower() == "t"
        if is_contraction or (is_prose and _takes_back(text, following)):
            return 0
        if is_prose and text in _LINKS and (n < 2 or has_word or token.kind == "word"):
            return n + 1 + (following.text == ":")
        if has_word and token.text in (":", "="):
            return n + 1
        is_within = token.text in _WITHIN or (token.text == "-" and len(following.text) > 2 and _is_prose(following))
        if not is_prose and token.kind != "vector" and not is_within:
            return 0
        has_word |= is_prose and len(text) > 2
    return 0


def _takes_back(word: str, following: Token) -> bool:
    """Return whether a word makes a label say something else than "the answer is"."""
    if word in HEDGES or word in ALTERING or function(word) or word in GREEK or word in ("sqrt", "cbrt"):
        return True
    is_bare_number = word in NUMBERS and (not _is_prose(following) or following.text.lower() in _LINKS)
    return is_bare_number or (word in ("square", "cube", "one") and following.text.lower() == "of")


def _is_prose(token: Token) -> bool:
    return token.kind in ("word", "letters")


def _without_choice(tokens: Sequence[Token]) -> Sequence[Token]:
    """Return tokens without the letter of a choice before a value: (C) 12, C. 12."""
    if len(tokens) > 3 and tokens[0].text.lower() in ("option", "choice"):
        tokens = tokens[1:]
    texts = [token.text for token in tokens[:3]]
    if len(tokens) > 3 and texts[0] == "(" and texts[1] in _CHOICES and texts[2] == ")" and len(texts[1]) == 1:
        return tokens[3:]
    is_marked = len(tokens) > 2 and len(texts[0]) == 1 and texts[0] in _CHOICES and texts[1] in (".", ")", ":")
    return tokens[2:] if is_marked else tokens
