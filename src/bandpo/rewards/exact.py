"""Equality that needs no algebra: the same text, rational numbers, bases, choices; decided here, exactly and at once.

Most answers in training are integers. What is left, `None`, goes to math-verify.
"""

from __future__ import annotations

import re
from fractions import Fraction

_WRAPPERS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathbb|mbox|boxed|fbox|bm)\s*\{([^{}]*)\}")
_DROPPED = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\displaystyle|\\[()\[\]]|\$")
_SPACE = re.compile(r"(?:\\[,;:! ]|\\q?quad\b|~|\s)+")
_SPACE_NOT_IN_NUMBER = re.compile(r"(?<!\d) | (?!\d)")
_REWRITTEN = ((r"\dfrac", r"\frac"), (r"\tfrac", r"\frac"), (r"\varnothing", r"\emptyset"), ("−", "-"))

_THOUSANDS = re.compile(r"(?<!\d)\d{1,3}(?:(?:,|\{,\}| )\d{3})+(?![\d/])")
_FRACTION = r"(?:\\frac(?:\{([+-]?\d{1,40})\}|(\d))(?:\{([+-]?\d{1,40})\}|(\d))|(\d{1,40})/([+-]?\d{1,40}))"
_RATIO = re.compile(rf"([+-]?)(?:(\d{{1,40}}) ?(?=\\frac)|(\d{{1,40}}) )?{_FRACTION}")
_DECIMAL = re.compile(
    r"([+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40}))(?:(?:e|\\(?:times|cdot)10\^)\{?([+-]?\d{1,3})\}?)?"
)
_REPEATING = re.compile(r"([+-]?)(\d{0,40})\.(\d{0,40})\\overline\{(\d{1,40})\}")
_PERCENT = re.compile(r"(.+?)(?:\\?%|percent)")
_WORDS = re.compile(r"\s*\\text\s*\{[A-Za-z ]{2,}\}\s*")
_BASED = re.compile(r"([0-9a-z]{1,60})_\{?(\d{1,2})\}?")
_LETTER = re.compile(r"\(?([A-E])\)?(?:[.):,\s].*)?", re.DOTALL)
_SAID_LETTER = re.compile(r"answer\s+is\s*:?\W{0,5}([A-E])\b(?!\s*[=+^/-])")


def plain(answer: str) -> str:
    r"""An answer without what does not change it: dollar signs, \text, spaces, a final full stop, case.

    >>> from bandpo.rewards.exact import plain
    >>> plain(r"$\text{Monday}$."), plain(r"\left( 1,\, 2 \right)"), plain(r"3 \dfrac{1}{2}")
    ('monday', '(1,2)', '3\\frac{1}{2}')
    """
    text = _without_wrappers(answer)
    for old, new in _REWRITTEN:
        text = text.replace(old, new)
    text = _SPACE_NOT_IN_NUMBER.sub("", _SPACE.sub(" ", text)).rstrip(".")
    return text.casefold() if len(text) > 1 else text


def rational(text: str) -> tuple[Fraction, bool] | None:
    r"""The rational number that a plain text writes, and whether as a percentage; None for anything else.

    Integers, decimals, repeating ones, powers of ten, fractions, mixed numbers, thousands separators.

    >>> from bandpo.rewards.exact import rational
    >>> rational("12,345"), rational(r"3\frac{1}{2}"), rational(r"0.\overline{36}"), rational(r"50\%")
    ((Fraction(12345, 1), False), (Fraction(7, 2), False), (Fraction(4, 11), False), (Fraction(1, 2), True))
    """
    percent = _PERCENT.fullmatch(text)
    if percent:
        number = _number(percent.group(1))
        return None if number is None else (number / 100, True)
    number = _number(text)
    return None if number is None else (number, False)


def decide(reference: str, answer: str) -> bool | None:
    r"""Whether an answer equals its reference; None where that takes algebra.

    A percentage equals its value and its number, since the question may ask for either. A number without a base
    equals the digits of one with a base. Braces are not parentheses: a set is no point and no interval.

    >>> from bandpo.rewards.exact import decide
    >>> decide("0.5", r"50\%"), decide("C", r"\text{(C) } 12"), decide("(1,2)", r"\{1,2\}"), decide("x", "2x")
    (True, True, False, None)
    """
    if re.fullmatch(r"\(?[A-E]\)?", _without_wrappers(reference).strip()):
        return _same_letter(reference, answer)
    expected, given = plain(reference), plain(answer)
    if expected == given:
        return True
    if _WORDS.fullmatch(reference):
        return False
    based = _same_in_base(expected, given)
    if based is not None:
        return based
    numbers = rational(expected), rational(given)
    if numbers[0] is not None and numbers[1] is not None:
        return _same_number(numbers[0], numbers[1])
    if {_enclosure(expected), _enclosure(given)} == {"(", r"\{"}:
        return False
    return None


def said_letter(reference: str, text: str) -> bool | None:
    """Whether "the answer is C" at the end of unmarked text is the choice of the reference; None for no choice.

    >>> from bandpo.rewards.exact import said_letter
    >>> said_letter("B", "So the answer is **B**."), said_letter("2", "The answer is 2.")
    (True, None)
    """
    letter = re.fullmatch(r"\(?([A-E])\)?", _without_wrappers(reference).strip())
    said = _SAID_LETTER.findall(text)
    return said[-1] == letter.group(1) if letter and said else None


def _without_wrappers(text: str) -> str:
    for _ in range(4):
        unwrapped = _WRAPPERS.sub(r"\1", text)
        if unwrapped == text:
            break
        text = unwrapped
    return _DROPPED.sub("", text).strip()


def _number(text: str) -> Fraction | None:
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match.group()), text)
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return Fraction(decimal.group(1)) * Fraction(10) ** int(decimal.group(2) or 0)
    ratio = _RATIO.fullmatch(text)
    if ratio:
        sign, *whole, a, b, c, d, e, f = ratio.groups()
        below = int(c or d or f)
        if below == 0:
            return None
        value = int(whole[0] or whole[1] or 0) + Fraction(int(a or b or e), below)
        return -value if sign == "-" else value
    repeating = _REPEATING.fullmatch(text)
    if repeating:
        sign, whole, start, period = repeating.groups()
        value = Fraction(int((whole + start) or 0)) + Fraction(int(period), 10 ** len(period) - 1)
        value /= 10 ** len(start)
        return -value if sign == "-" else value
    return None


def _same_number(expected: tuple[Fraction, bool], given: tuple[Fraction, bool]) -> bool:
    (a, a_is_percent), (b, b_is_percent) = expected, given
    if a == b:
        return True
    return a_is_percent != b_is_percent and (100 * a == b if a_is_percent else a == 100 * b)


def _same_in_base(expected: str, given: str) -> bool | None:
    a, b = _BASED.fullmatch(expected), _BASED.fullmatch(given)
    if not a and not b:
        return None
    if a and b:
        values = [_in_base(match.group(1), int(match.group(2))) for match in (a, b)]
        return None if None in values else values[0] == values[1]
    digits, other = (a.group(1), given) if a else (b.group(1), expected)  # pyright: ignore[reportOptionalMemberAccess]
    return digits == other if digits.isdigit() and other.isdigit() else None


def _in_base(digits: str, base: int) -> int | None:
    try:
        return int(digits, base) if base >= 2 else None
    except ValueError:
        return None


def _same_letter(reference: str, answer: str) -> bool | None:
    letter = _LETTER.fullmatch(_without_wrappers(answer).strip(" *_."))
    if letter is None:
        return False
    rest = _without_wrappers(answer)[letter.end(1) :].strip(" )*_.:")
    if re.match(r"[,;]?\s*(?:and|or|,)?\s*\(?[A-E]\b", rest):
        return False
    return letter.group(1) == _without_wrappers(reference).strip("() ")


def _enclosure(text: str) -> str:
    """The bracket that encloses a whole text, "" without one.

    >>> from bandpo.rewards.exact import _enclosure
    >>> _enclosure("(1,2)"), _enclosure("(1,2),(3,4)")
    ('(', '')
    """
    for opening, closing in (("(", ")"), (r"\{", r"\}")):
        if text.startswith(opening) and text.endswith(closing):
            depth = 0
            inside = text[: -len(closing)]
            for bracket in re.finditer(re.escape(opening) + "|" + re.escape(closing), inside):
                depth += 1 if bracket.group() == opening else -1
                if depth == 0:
                    return ""
            return opening
    return ""
