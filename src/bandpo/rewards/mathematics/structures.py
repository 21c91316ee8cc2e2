"""Answers by recursive descent: lists, sets, intervals, relations and conditions around quantities."""

from __future__ import annotations

from bandpo.rewards.mathematics.brackets import RELATIONS, Brackets
from bandpo.rewards.mathematics.conditions import folded
from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.forms import (
    UNNAMED,
    Congruence,
    Form,
    Listing,
    Quantity,
    Ratio,
    Relation,
)
from bandpo.rewards.mathematics.nodes import Number, Quotient, Symbol


class Structures(Brackets):
    """A reader of whole answers."""

    def answer(self) -> Form:
        """Read an answer to its end.

        Raises:
            Unreadable: something is left over.
        """
        form = self.listing()
        if self.sees("(") and self.is_remark():
            self.at += len(self.inside()[0]) + 2
        if self.peek().kind != "end":
            raise Unreadable(f"{self.peek().text!r} behind the answer")
        return form

    def listing(self) -> Form:
        """Read one item, or several with commas, "and" or "or" between."""
        with self.nested():
            items, joints = list(self.items()), set()
            while joint := self._joint():
                if joint == "," and self.peek().kind == "end":
                    break
                if joint == "," and (condition := self.condition_on(items[-1])):
                    items[-1] = condition
                    continue
                joints.add(joint)
                items += self.items()
            items = folded(items) if joints <= {",", "and"} else items
            if len(items) == 1:
                return items[0]
            if {"and", "or"} <= joints:
                raise Unreadable("both and and or")
            return Listing(tuple(items), next(iter(joints - {","}), ","))

    def _joint(self) -> str | None:
        found = None
        while True:
            if self.take(",", ";"):
                found = found or ","
            elif self.take("\\lor"):
                found = "or"
            elif self.take("\\land"):
                found = "and"
            elif word := self.take_word("and", "or"):
                found = word
            else:
                return found

    def items(self) -> list[Form]:
        """Read an item; one with a plus-minus sign in it is two.

        Raises:
            Unreadable: two such signs, which may or may not go together.
        """
        start, self.sign, self.signs_read = self.at, 1, 0
        tokens = list(self.tokens)
        first = self.conditional()
        if self.signs_read == 0:
            return [first]
        if self.signs_read > 1 and "\\mp" not in [token.text for token in tokens[start : self.at]]:
            raise Unreadable("two plus-minus signs")
        self.tokens, self.at, self.sign = tokens, start, -1
        second = self.conditional()
        self.sign = 1
        return [first, second]

    def relation(self) -> Form:
        """Read a chain of relations, a ratio, a congruence or what stands alone."""
        if self.sees(*RELATIONS):
            operator, side = self._side_behind()
            return Relation((Quantity(Symbol(UNNAMED)), side), (operator,))
        first = self.union()
        if self.sees(":") and isinstance(first, Quantity) and not self.is_in_set:
            return self._ratio(first, ":")
        if (
            isinstance(first, Quantity)
            and self.sees_word("to")
            and self.peek(1).kind in ("number", "letters", "command")
        ):
            return self._ratio(first, "to")
        if isinstance(first, Quantity) and (self.take_word("in") or self._takes_out_of()):
            return self._share(first)
        if isinstance(first, Quantity) and self._sees_modulus():
            return self._congruence([Quantity(Symbol(UNNAMED)), first], ["mod"])
        sides, operators = [first], []
        while self.sees(*RELATIONS):
            operator, side = self._side_behind()
            sides.append(side)
            operators.append(operator)
        if not operators:
            return first
        if "mod" in operators:
            return self._congruence(sides, operators)
        return Relation(tuple(sides), tuple(operators))

    def _takes_out_of(self) -> bool:
        if self.sees_word("out") and self.peek(1).text.lower() == "of":
            self.at += 2
            return True
        return False

    def _share(self, first: Quantity) -> Quantity:
        """Read the whole of `3 out of 4` or `1 in 4`."""
        whole = self.union()
        if not (isinstance(whole, Quantity) and isinstance(first.value, Number) and isinstance(whole.value, Number)):
            raise Unreadable("a share of something else than a number")
        if first.unit or whole.unit or not 0 <= first.value.value <= whole.value.value:
            raise Unreadable("a share above the whole")
        return Quantity(Quotient(first.value, whole.value))

    def _side_behind(self) -> tuple[str, Form]:
        operator = RELATIONS[self.next().text]
        if operator in ("<", ">") and self.take("="):
            operator += "="
        return operator, self.union()

    def _sees_modulus(self) -> bool:
        token = self.peek(1) if self.sees("(") else self.peek()
        return token.text in ("\\pmod", "\\bmod", "\\mod", "mod")

    def _congruence(self, sides: list[Form], operators: list[str]) -> Form:
        is_open = self.take("(") is not None
        if not (self.take("\\pmod", "\\bmod", "\\mod") or self.take_word("mod")) or operators != ["mod"]:
            raise Unreadable("an equivalence without its modulus")
        modulus = self.group() if self.sees("{") else self.expression()
        if is_open:
            self.need(")")
        return Congruence(sides[0], sides[1], modulus)

    def _ratio(self, first: Quantity, sign: str) -> Ratio:
        terms = [first]
        while self.take(":") if sign == ":" else self.take_word("to"):
            term = self.union()
            if not isinstance(term, Quantity):
                raise Unreadable("a ratio of something else than values")
            terms.append(term)
        if any(term.unit or term.noun for term in terms):
            raise Unreadable("a ratio of quantities with units")
        return Ratio(tuple(term.value for term in terms))
