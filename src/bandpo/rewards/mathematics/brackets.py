"""Sets, intervals, points and pieces of functions: what stands in brackets and braces."""

from __future__ import annotations

from abc import abstractmethod

from bandpo.rewards.mathematics.conditions import Conditions
from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.forms import (
    Builder,
    Cases,
    Conditional,
    Congruence,
    Difference,
    Finite,
    Form,
    Group,
    Listing,
    Numbers,
    Quantity,
    Relation,
    Span,
    Union,
)
from bandpo.rewards.mathematics.nodes import INFINITY, ZERO, Infinity, Node, Symbol, negative
from bandpo.rewards.mathematics.tokens import Token

REALS = Span(negative(INFINITY), INFINITY, True, True)
_NUMBERS = {"\\integers": "integers", "\\naturals": "naturals", "\\rationals": "rationals", "\\complexes": "complexes"}
_OPENING = ("(", "[", "]", "\\{", "{", "\\langle")
RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "=<": "<=", "!=": "!=", "\\le": "<=",
    "\\ge": ">=", "\\ne": "!=", "\\approx": "~", "\\in": "in", "\\notin": "notin", "\\equiv": "mod", "\\simeq": "~",
}  # fmt: skip


class Brackets(Conditions):
    """A reader of sets and what they are made of."""

    @abstractmethod
    def listing(self) -> Form:
        """Read one item, or several."""

    def union(self) -> Form:
        """Read a set, a union of sets, a set without another, or a value."""
        found = [self._operand()]
        while self.take("\\cup"):
            found.append(self._operand())
        form = found[0] if len(found) == 1 else Union(tuple(found))
        if self.take("\\setminus") or (isinstance(form, Span) and self.take("-")):
            return Difference(form, self._operand())
        return form

    def _operand(self) -> Form:
        if self.take("\\emptyset"):
            return Finite(())
        if self.take("\\reals"):
            return self._reals()
        if self.sees(*_NUMBERS):
            name = _NUMBERS[self.next().text]
            half = self._half() if self.take("^") else ""
            return Numbers(name + half)
        if self.sees("\\begin") and self.peek(2).text in ("cases", "aligned"):
            self.next()
            return self._cases()
        if self.sees(*_OPENING) and (structure := self._structure()):
            return structure
        return self.quantity()

    def _half(self) -> str:
        """Read the sign of the positive or negative half of a set of numbers."""
        is_braced = self.take("{")
        sign = self.need("+", "-")
        if is_braced:
            self.need("}")
        return sign

    def _reals(self) -> Span:
        if not self.take("^"):
            return REALS
        return Span(ZERO, INFINITY, True, True) if self._half() == "+" else Span(negative(INFINITY), ZERO, True, True)

    def _structure(self) -> Form | None:
        """Read a bracket with several values in it; None where it is part of an expression."""
        opening = self.peek().text
        direct, closing = self.inside()
        has_comma = any(token.text in (",", ";") for token in direct)
        if opening in ("\\{", "{"):
            return self._set(direct, has_comma) if closing.text in ("\\}", "}") else None
        if not has_comma or closing.text in ("\\}", "}"):
            return None
        self.next()
        self.is_outward = closing.text == "["
        items = [self.union()]
        while self.take(",", ";"):
            items.append(self.union())
        self.is_outward = False
        end = self.need(")", "]", "[", "\\rangle")
        return _bracketed(opening, tuple(items), end)

    def _set(self, direct: list[Token], has_comma: bool) -> Form | None:
        opening, closing = ("\\{", "\\}") if self.peek().text == "\\{" else ("{", "}")
        is_builder = any(token.text in ("|", ":") for token in direct) and any(t.text in RELATIONS for t in direct)
        if opening == "{" and not (has_comma or is_builder or not direct):
            return None
        self.next()
        if self.take(closing):
            return Finite(())
        was_in_set, self.is_in_set = self.is_in_set, True
        first = self.listing()
        if self.take("|", ":"):
            self.is_in_set = False
            condition = self.listing()
            first = _builder(first, condition)
        self.is_in_set = was_in_set
        self.need(closing)
        if isinstance(first, Builder):
            return first
        return Finite(first.items if isinstance(first, Listing) else (first,))

    def _cases(self) -> Form:
        """Read the rows of a brace: pieces of a function, or equations that all hold."""
        name = self.environment()
        rows: list[tuple[Form, Form | None]] = []
        while not self.sees("\\end"):
            form = self.relation()
            self.take(",", ";")
            condition = None
            if self.take("&"):
                self.take_word("if", "for", "when")
                condition = None if self.take_word("otherwise", "else") else self.listing()
                self.take(",", ";")
            rows.append((form, condition))
            if not self.take("\\newline") and not self.sees("\\end"):
                raise Unreadable("a row of cases that does not end")
        self.ends(name)
        if len(rows) > 1 and all(condition is None for _, condition in rows):
            return Listing(tuple(form for form, _ in rows), "and")
        return Cases(tuple(rows))


def _bracketed(opening: str, items: tuple[Form, ...], closing: str) -> Form:
    """Return the interval or group that brackets around values make."""
    is_pair = len(items) == 2 and all(isinstance(item, Quantity) and not item.unit for item in items)
    low_high = [item.value for item in items if isinstance(item, Quantity)]
    is_infinite = is_pair and any(_is_infinite(value) for value in low_high)
    if opening == "]" or closing == "[":
        if not is_pair or opening == "(" or closing == ")":
            raise Unreadable("brackets turned outwards around no pair")
        return Span(low_high[0], low_high[1], opening == "]", closing == "[")
    if is_pair and (opening != "(" or closing != ")" or is_infinite) and opening in ("(", "["):
        if closing not in (")", "]"):
            raise Unreadable("brackets that do not match")
        return Span(low_high[0], low_high[1], opening == "(", closing == ")")
    if {"(": ")", "[": "]", "\\langle": "\\rangle"}.get(opening) != closing:
        raise Unreadable("brackets that do not match")
    return Group(items, opening)


def _is_infinite(value: Node) -> bool:
    return isinstance(value, Infinity) or value == negative(INFINITY)


def _builder(variable: Form, condition: Form) -> Builder:
    """Return the set of a variable and its condition."""
    if isinstance(variable, Relation) and variable.operators == ("in",):
        variable = variable.sides[0]
    if not (isinstance(variable, Quantity) and isinstance(variable.value, Symbol)):
        raise Unreadable("a set of something else than a variable")
    if isinstance(condition, (Relation, Listing, Conditional, Congruence)):
        return Builder(variable.value.name, condition)
    raise Unreadable("a set without a condition")
