"""Numbers as they are written: decimals, recurring ones, powers of ten behind an e."""

from __future__ import annotations

import re
from fractions import Fraction

from bandpo.rewards.mathematics.cursor import Cursor
from bandpo.rewards.mathematics.errors import TooLarge, Unreadable
from bandpo.rewards.mathematics.nodes import Number

_MARKS = ("\\overline", "\\bar", "\\dot")
_LARGEST_EXPONENT = 400


class Numerals(Cursor):
    """A reader of numbers whose first digits were just read."""

    def numeral(self, digits: str) -> Number:
        """Return the number that begins with `digits`, reading what belongs to it."""
        if self.sees(".") and self.peek(1).text in (*_MARKS, "("):
            self.next()
            digits += "."
        if self.sees(*_MARKS):
            return self._marked(digits)
        if "." in digits and self.sees("(") and not self.peek().is_spaced and self._is_period():
            self.next()
            period = self.next().text
            self.need(")")
            return recurring(digits, period)
        if "." in digits and self.sees("\\ldots", "."):
            return self._continued(digits)
        exponent = self._exponent_of_ten()
        return Number(Fraction(digits) * Fraction(10) ** exponent)

    def _is_period(self) -> bool:
        return self.peek(1).kind == "number" and self.peek(1).text.isdigit() and self.peek(2).text == ")"

    def _marked(self, digits: str) -> Number:
        r"""Read the period of 0.\overline{36} or 0.\dot{3}6\dot{1}."""
        start, period, dots = digits, "", 0
        while self.sees(*_MARKS) or (dots == 1 and self.peek().kind == "number"):
            if self.peek().kind == "number":
                period += self.next().text
                continue
            dots += self.next().text == "\\dot"
            is_braced = self.take("{")
            token = self.next()
            if token.kind != "number" or not token.text.isdigit():
                raise Unreadable(f"{token.text!r} as the period of a decimal")
            if not is_braced and dots and len(token.text) > 1:
                self.at -= 1
                self.tokens[self.at] = type(token)("number", token.text[1:])
                token = type(token)("number", token.text[0])
            period += token.text
            if is_braced:
                self.need("}")
        if dots > 2:
            raise Unreadable("more than two dotted digits")
        return recurring(start, period)

    def _continued(self, digits: str) -> Number:
        """Read 0.333..., whose period stands there three times, or twice if it is longer than a digit."""
        period = re.fullmatch(r"(\d*\.\d*?)(\d)\2{2,}", digits) or re.fullmatch(r"(\d*\.\d*?)(\d{2,})\2", digits)
        if period is None:
            raise Unreadable(f"{digits}... does not say how it goes on")
        if not self.take("\\ldots"):
            for _ in range(3 if self.peek(2).text == "." else 2):
                self.need(".")
        return recurring(period[1], period[2])

    def _exponent_of_ten(self) -> int:
        token, sign = self.peek(), self.peek(1)
        if token.kind != "letters" or token.text not in ("e", "E") or token.is_spaced:
            return 0
        is_signed = sign.text in ("-", "+") and self.peek(2).kind == "number" and not self.peek(2).is_spaced
        power = self.peek(2) if is_signed else sign
        if power.kind != "number" or not power.text.isdigit() or sign.is_spaced:
            return 0
        if is_signed and token.text == "e" and "." not in self.tokens[self.at - 1].text and len(power.text) < 2:
            raise Unreadable("2e-1, which may be a power of ten or a difference")
        self.at += 3 if is_signed else 2
        if int(power.text) > _LARGEST_EXPONENT:
            raise TooLarge(f"the exponent {power.text}")
        return -int(power.text) if sign.text == "-" else int(power.text)


def recurring(start: str, period: str) -> Number:
    """Return the number that begins with `start` and goes on with `period` for ever.

    Raises:
        Unreadable: no decimal point in the start.

    >>> from bandpo.rewards.mathematics.numerals import recurring
    >>> recurring("0.1", "6").value
    Fraction(1, 6)
    """
    whole, point, decimals = start.partition(".")
    if not point or not period:
        raise Unreadable(f"{start} with the period {period!r}")
    value = Fraction(int((whole + decimals) or 0)) + Fraction(int(period), 10 ** len(period) - 1)
    return Number(value / 10 ** len(decimals))
