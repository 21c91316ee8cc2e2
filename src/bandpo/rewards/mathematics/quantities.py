"""Quantities: money, numbers with units or with what they count, several units in one."""

from __future__ import annotations

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.expressions import Expressions
from bandpo.rewards.mathematics.forms import Quantity
from bandpo.rewards.mathematics.nodes import (
    CELSIUS,
    DEGREE,
    FAHRENHEIT,
    PERCENT,
    Node,
    Number,
    Quotient,
    coefficient,
    negative,
    number,
    product,
    total,
    walk,
)
from bandpo.rewards.mathematics.units import CURRENCIES, DEGREES, LETTERS, PERCENTS, UNITS, Unit, unit_of
from bandpo.rewards.mathematics.words import SCALES, counted

_CURRENCIES = {
    "\\currency": UNITS["dollar"], "\\sterling": UNITS["gbp"], "\\euro": UNITS["euro"], "\\rupee": UNITS["rupee"],
    "\\othercurrency": UNITS["currency"],
}  # fmt: skip
_MULTIPLES = SCALES | {"dozen": 12}
_TEMPERATURES = {"c": "celsius", "f": "fahrenheit"}
_SIGNS = {
    DEGREE: DEGREES, PERCENT: PERCENTS, CELSIUS: UNITS["celsius"], FAHRENHEIT: UNITS["fahrenheit"],
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3, "平方": 2, "立方": 3}
_LONGEST_NOUN = 4


class Quantities(Expressions):
    """A reader of a value and its unit."""

    def quantity(self) -> Quantity:
        """Read an expression with the currency before it or the unit behind it."""
        start = self.at
        is_negative = self.take("-") is not None
        currency = self.take(*_CURRENCIES)
        if currency is None:
            self.at, is_negative = start, False
        value = negative(self.expression()) if is_negative else self.expression()
        if self.take("\\over"):
            value = Quotient(value, self.expression())
        if isinstance(value, Number) and (scale := self.take_word(*_MULTIPLES)):
            value = Number(value.value * _MULTIPLES[scale])
        value, unit = _unit_within(value)
        unit = _CURRENCIES[currency] if currency else unit
        behind = self._unit()
        if behind is not None and unit is not None and not self._agree(unit, behind):
            raise Unreadable("two units of one value")
        unit = unit if unit == UNITS["gbp"] else behind or unit
        if unit is not None and self.peek(1).kind == "end":
            self.take_word("old", "long", "tall", "high", "wide", "deep", "away", "apart", "each", "ago", "later")
        noun = self._noun()
        if unit is None or noun is not None:
            return Quantity(value, unit, noun)
        return self._mixed(Quantity(value, unit))

    def _agree(self, before: Unit, behind: Unit) -> bool:
        """Return whether two signs say the same unit, such as $5 dollars."""
        is_pounds = before == UNITS["gbp"] and behind == UNITS["pounds"]
        is_any = before == UNITS["currency"] and behind.dimension[0][0] in CURRENCIES
        return before == behind or is_pounds or is_any

    def _mixed(self, quantity: Quantity) -> Quantity:
        """Read the smaller units of `3 hours 20 minutes` or `5 dollars and 25 cents`."""
        terms: list[Node] = []
        value, unit = quantity.value, quantity.unit
        while unit is not None:
            start = self.at
            self.take_word("and")
            if self.peek().kind != "number":
                self.at = start
                break
            smaller = self.expression()
            behind = self._unit()
            if behind is None or behind.dimension != unit.dimension or behind.factor >= unit.factor:
                raise Unreadable("a value and another one behind its unit")
            terms.append(product((value, Number(unit.factor))))
            value, unit = smaller, behind
        if not terms or unit is None:
            return quantity
        terms.append(product((value, Number(unit.factor))))
        base = Unit(number(1).value, unit.dimension, is_mixed=True)
        return Quantity(total(tuple(terms)), base)

    def _unit(self) -> Unit | None:
        """Read a unit, or a product and quotient of units; None where no unit comes next."""
        unit = self._unit_power()
        if unit is None:
            return None
        while True:
            start = self.at
            is_divided = self.take("/") is not None or self.take_word("per", "an", "a") is not None
            self.take("\\cdot", "*")
            factor = self._unit_power(is_divided)
            if factor is None:
                self.at = start
                return unit
            unit = unit.times(factor.power(-1) if is_divided else factor)

    def _unit_power(self, is_behind_division: bool = False) -> Unit | None:
        start = self.at
        if self.take("\\%", "%") or self.take_word("percent", "pct"):
            return PERCENTS
        if self.sees_word("per") and self.peek(1).text.lower() == "cent":
            self.at += 2
            return PERCENTS
        power = _POWERS.get(self.peek().text.lower())
        if power:
            self.next()
            self.take(".")
        token = self.peek()
        is_between_numbers = token.text == "in" and self.peek(1).kind == "number"
        unit = unit_of(token.text) if token.kind in ("word", "letters") and not is_between_numbers else None
        if unit is None or (token.kind == "letters" and not self._stands_for_unit(is_behind_division)):
            self.at = start
            return None
        self.next()
        self.take(".")
        if token.text in ("degrees", "degree", "度"):
            scale = self.take_word("celsius", "fahrenheit", "c", "f")
            unit = UNITS[_TEMPERATURES[scale[0]]] if scale else unit
        if self.take("^"):
            power = self._unit_exponent()
        behind = _POWERS.get(self.peek().text.lower())
        if behind and power is None and unit_of(self.peek(1).text) is None:
            self.next()
            power = behind
        return unit.power(power or 1)

    def _stands_for_unit(self, is_behind_division: bool) -> bool:
        """Return whether letters of a formula are a unit here: several of them, or one in a reading for units."""
        return self.peek().text not in LETTERS or self.letters_are_units or is_behind_division

    def _unit_exponent(self) -> int:
        exponent = self.exponent()
        if not isinstance(exponent, Number) or exponent.value.denominator != 1 or abs(exponent.value) > 9:
            raise Unreadable("the exponent of a unit")
        return int(exponent.value)

    def _noun(self) -> str | None:
        """Read what is counted: a few words that end in a noun."""
        words: list[str] = []
        while self.peek(len(words)).kind in ("word", "letters") and len(words) <= _LONGEST_NOUN:
            words.append(self.peek(len(words)).text)
        for count in range(len(words), 0, -1):
            ends = self.peek(count).kind == "end" or self.peek(count).text in (",", ")", ";", "\\}")
            noun = counted(words[:count]) if ends else None
            if noun is not None:
                self.at += count
                return noun
        return None


def _unit_within(value: Node) -> tuple[Node, Unit | None]:
    """Return a value without the degree or percent sign in it, and that unit.

    Raises:
        Unreadable: such a sign elsewhere than behind the value.
    """
    for sign, unit in _SIGNS.items():
        if any(node == sign for node in walk(value)):
            inner = coefficient(value, sign)
            if inner is None:
                raise Unreadable(f"a {sign.name} sign inside an expression")
            return inner, unit
    return value, None
