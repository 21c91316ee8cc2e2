r"""Expressions by recursive descent: sums, products, powers and what they are made of.

Where two readers could differ (`1/2x`, `\sin x/2`, `2\frac{7}{4}`, `3 5`) the expression is unreadable.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from bandpo.rewards.mathematics.atoms import Atoms
from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.functions import GREEK, function
from bandpo.rewards.mathematics.nodes import (
    CELSIUS,
    DEGREE,
    FAHRENHEIT,
    PERCENT,
    Call,
    Node,
    Number,
    Power,
    Quotient,
    negative,
    number,
    product,
    total,
)
from bandpo.rewards.mathematics.units import LETTERS
from bandpo.rewards.mathematics.words import DOUBTS

_ORDINALS = ("th", "st", "nd", "rd")
_SIGNS = ("+", "-", "\\pm", "\\mp")
_OPENERS = frozenset(
    (
        r"\pi \frac \infty \binom \lfloor \lceil \overline \sqrt \rootof \cuberootof \begin \angle \triangle \sum "
        r"\prod"
    ).split()
)


class Expressions(Atoms):
    r"""Reads expressions.

    Attributes:
        sign: what \pm stands for in this reading, 1 or -1.
        signs_read: how often it was read.
        letters_are_units: whether a single letter set apart behind a number is a unit.
        is_in_set: whether braces are open, in which a bar or a colon means "such that".
        is_outward: whether an interval is open whose end is a bracket turned outwards.
    """

    sign, signs_read = 1, 0
    letters_are_units = is_in_set = is_outward = False

    def expression(self) -> Node:
        """Read a sum."""
        with self.nested():
            terms = [self._signed(self._term)]
            while self.sees(*_SIGNS):
                terms.append(self._signed(self._term))
            return total(tuple(terms))

    def _signed(self, read: Callable[[], Node]) -> Node:
        is_negative = False
        while sign := self.take(*_SIGNS):
            if sign in ("\\pm", "\\mp"):
                self.signs_read += 1
            is_negative ^= sign == "-" or (self.sign if sign == "\\pm" else -self.sign if sign == "\\mp" else 1) < 0
        node = read()
        return negative(node) if is_negative else node

    def _term(self) -> Node:
        """Read a product of powers, written with or without signs of multiplication."""
        above, below, is_behind_slash = [self.power()], [], False
        while True:
            if self.take("*", "\\cdot", "\\times"):
                above.append(self._signed(self.power))
                is_behind_slash = False
            elif self._division():
                below.append(self._signed(self.power))
                is_behind_slash = True
            elif self.take("%", "\\%"):
                above.append(PERCENT)
            elif self.starts_factor():
                if is_behind_slash:
                    raise Unreadable("a product behind a slash, which may or may not be divided")
                above[-1:] = self._adjacent(above[-1])
            else:
                break
        node = product(tuple(above))
        return Quotient(node, product(tuple(below))) if below else node

    def _division(self) -> str | None:
        """Go past a sign of division, unless a unit is what divides."""
        if self.sees("/") and (self.peek(1).kind == "word" or self._is_unit(1)):
            return None
        return self.take("/", "\\div")

    def _adjacent(self, before: Node) -> list[Node]:
        """Read a factor without a sign before it: a mixed number, or one more factor."""
        is_behind_integer = self.tokens[self.at - 1].kind == "number" and isinstance(before, Number)
        if self.peek().kind == "number" and self.tokens[self.at - 1].text != "!":
            return [self._plain_mixed(before, is_behind_integer)]
        is_fraction = self.sees("\\frac")
        factor = self.power()
        if is_behind_integer and is_fraction and isinstance(factor, Quotient):
            above, below = factor.above, factor.below
            if isinstance(above, Number) and isinstance(below, Number):
                return [_mixed(before, above, below)]
        return [before, factor]

    def _plain_mixed(self, before: Node, is_behind_integer: bool) -> Node:
        """Read the fraction of `3 1/2`; any other number behind a factor is unreadable."""
        is_fraction = self.peek(1).text == "/" and self.peek(2).kind == "number"
        if not (is_behind_integer and self.peek().is_spaced and is_fraction):
            raise Unreadable("two numbers side by side")
        above = number(self.next().text)
        self.next()
        return _mixed(before, above, number(self.next().text))

    def starts_factor(self) -> bool:
        """Return whether a factor without a sign of multiplication comes next."""
        token = self.peek()
        if token.kind in ("number", "vector"):
            return True
        if token.kind in ("letters", "word"):
            return self.is_factor(token.text, token.kind) and not self._is_unit()
        if token.text == "|":
            return not self.bars and not self.is_in_set
        if token.text == "(":
            return not (token.is_spaced and (self._is_condition() or self.is_remark()))
        return (
            token.text == "{"
            or (token.text == "[" and not self.is_outward)
            or (
                token.kind == "command"
                and (token.text in _OPENERS or token.text[1:] in GREEK or function(token.text[1:]) is not None)
            )
        )

    def _is_unit(self, ahead: int = 0) -> bool:
        """Return whether a single letter is a unit: one of prose, or one that stands apart in a reading for units."""
        token = self.peek(ahead)
        if token.text in ("min", "sec") and self.tokens[self.at + ahead - 1].kind == "number":
            return (
                self.peek(ahead + 1).text not in ("(", "\\{", "{", "\\theta") and self.peek(ahead + 1).kind != "letters"
            )
        is_meant = token.kind == "word" or (self.letters_are_units and (token.is_spaced or ahead > 0))
        return is_meant and token.text in LETTERS and self.peek(ahead + 1).text != "("

    def _is_condition(self) -> bool:
        """Return whether the parenthesis that comes next holds a relation."""
        direct, _ = self.inside()
        return any(token.text in ("=", "<", ">", "<=", ">=", "\\le", "\\ge", "\\ne", "\\in") for token in direct)

    def is_remark(self) -> bool:
        """Return whether the parenthesis that comes next holds words alone, none of which hedges."""
        direct, closing = self.inside()
        words = [token.text.lower() for token in direct if token.kind in ("word", "letters")]
        is_prose = len(words) == len(direct) and any(len(word) > 2 for word in words)
        return closing.text == ")" and is_prose and not set(words) & DOUBTS

    def power(self) -> Node:
        """Read an atom with its exponents, factorials, degrees."""
        with self.nested():
            node = self._with_factorial(self.atom())
            if self.tokens[self.at - 1].kind == "number" and not self.peek().is_spaced:
                self.take_word(*_ORDINALS)
            while self.take("^", "**"):
                if self._takes_circle():
                    node = self._degrees(node)
                elif self._takes_ordinal():
                    continue
                else:
                    is_braced = self.sees("{", "(")
                    node = Power(node, self.exponent())
                    if self.sees("!") and not is_braced:
                        raise Unreadable("a factorial behind an exponent without braces")
                    node = self._with_factorial(node)
            return node

    def exponent(self) -> Node:
        """Read what is raised: a group, a number, a letter, with a sign, and a tower of them."""
        with self.nested():
            if self.sees("{"):
                return self.group()
            if self.take("-"):
                return negative(self.exponent())
            self.take("+")
            base = self.atom()
            return Power(base, self.exponent()) if self.take("^", "**") else base

    def _with_factorial(self, node: Node) -> Node:
        if not self.take("!"):
            return node
        if self.sees("!"):
            raise Unreadable("two exclamation marks")
        return Call("factorial", (node,))

    def _takes_circle(self) -> bool:
        if self.take("\\circ"):
            return True
        if self.sees("{") and self.peek(1).text == "\\circ" and self.peek(2).text == "}":
            self.at += 3
            return True
        return False

    def _takes_ordinal(self) -> bool:
        """Go past the letters of `10^{th}`."""
        if self.take_word(*_ORDINALS):
            return True
        if self.sees("{") and self.peek(1).text in _ORDINALS and self.peek(2).text == "}":
            self.at += 3
            return True
        return False

    def _degrees(self, node: Node) -> Node:
        """Return an angle in degrees, with the minutes and seconds that may follow it."""
        parts = [node]
        for marks, sixtieths in ((1, 60), (2, 3600)):
            ahead = [self.peek(n).text for n in range(1, 4)]
            if self.peek().kind == "number" and ahead[:marks] == ["'"] * marks and ahead[marks] != "'":
                parts.append(number(Fraction(self.next().text) / sixtieths))
                self.at += marks
        return product((total(tuple(parts)), self._scale_of_temperature() or DEGREE))

    def _scale_of_temperature(self) -> Node | None:
        """Read the letter of 20°C or 68°F, behind which no formula goes on."""
        is_last = self.peek(1).kind in ("end", "word") or self.peek(1).text in (",", ")", ";", "\\}")
        scale = {"C": CELSIUS, "F": FAHRENHEIT}.get(self.peek().text) if is_last else None
        if scale is not None:
            self.next()
        return scale


def _mixed(whole: Node, above: Node, below: Node) -> Number:
    """Return a mixed number.

    Raises:
        Unreadable: its fraction is none below one, so that a product may be meant.
    """
    if not (isinstance(whole, Number) and isinstance(above, Number) and isinstance(below, Number)):
        raise Unreadable("a number behind a factor")
    values = (whole.value, above.value, below.value)
    if any(value.denominator != 1 for value in values) or not 0 < above.value < below.value:
        raise Unreadable("a whole number beside an improper fraction")
    return Number(whole.value + above.value / below.value)
