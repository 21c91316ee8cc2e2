"""Conditions behind an answer: "for all real x", "(n ≥ 1)", "where k ∈ ℤ"."""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.forms import Conditional, Congruence, Form, Numbers, Quantity, Relation, Span
from bandpo.rewards.mathematics.nodes import INFINITY, Applied, Number, Symbol, negative, rewritten, symbols
from bandpo.rewards.mathematics.ordering import order
from bandpo.rewards.mathematics.quantities import Quantities
from bandpo.rewards.mathematics.values import Budget

_OPENING = frozenset(["for", "where", "when", "whenever", "if", "with", "provided", "given"])
_RESTRICTING = frozenset(["when", "whenever", "if", "provided"])
_WORDS = frozenset(
    (
        r"for all any every each real reals integer integers positive negative nonnegative nonzero natural rational "
        r"complex number numbers constant constants value values some arbitrary where is are an a in with and that the "
        r"of being be fixed function functions whole such non odd even prime"
    ).split()
)
_SIGNS = {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0), "!=": (-1, 1)}


class Conditions(Quantities):
    """A reader of a form and the condition behind it."""

    @abstractmethod
    def relation(self) -> Form:
        """Read a chain of relations, or what stands alone."""

    def conditional(self) -> Form:
        """Read a form with the condition that may follow it.

        Raises:
            Unreadable: a condition on something without variables.
        """
        form = self.relation()
        if self.sees("(") and self._is_condition():
            _check_variables(form)
            self.next()
            relations = self._stated()
            self.need(")")
            return Conditional(form, relations)
        return self.condition_on(form) or form

    def condition_on(self, form: Form) -> Conditional | None:
        """Read a condition in words on a form that was just read, None where none follows."""
        opening = self.take_word(*_OPENING)
        if opening is None:
            return None
        _check_variables(form)
        return Conditional(form, self._stated(), opening in _RESTRICTING)

    def _stated(self) -> tuple[Form, ...]:
        """Read relations among the words that may stand around them, up to the end or a closing bracket."""
        found: list[Form] = []
        while self.peek().kind != "end" and not self.sees(")", "}", "\\}", "\\newline", "\\end"):
            if self.take(","):
                continue
            token = self.peek()
            is_prose = token.kind == "word" or (token.kind == "letters" and len(token.text) > 1)
            if is_prose and token.text.lower() in _WORDS:
                self.next()
                continue
            stated = self.relation()
            if isinstance(stated, Congruence) or (isinstance(stated, Relation) and "=" not in stated.operators):
                found.append(stated)
            elif not (isinstance(stated, Quantity) and isinstance(stated.value, (Symbol, Applied))):
                raise Unreadable("a condition that is no relation")
        return tuple(found)


def _check_variables(form: Form) -> None:
    if not _free(form):
        raise Unreadable("a condition on a number")


def _free(form: Form) -> frozenset[str]:
    """Return the variables that a condition can be about: of x = 2k + 1 those of the value alone."""
    first = form.sides[0] if isinstance(form, Relation) and form.operators[0] == "=" else None
    is_named = isinstance(first, Quantity) and isinstance(first.value, Symbol)
    return symbols(form) - (symbols(first) if is_named else frozenset())


def folded(items: list[Form]) -> list[Form]:
    """Return a list without the conditions at its end, which become part of the items before them.

    `x = 2πk, k ∈ ℤ` is one answer with a condition, `x > 0, x ≠ 1` are two.
    """
    kept = list(items)
    conditions: list[Form] = []
    while len(kept) > 1 and _is_condition_on(kept[-1], kept[:-1]):
        conditions.insert(0, kept.pop())
    if not conditions:
        return kept
    return [_under(form, tuple(conditions)) for form in kept]


def _under(form: Form, conditions: tuple[Form, ...]) -> Form:
    """Return a form under conditions; one that is a known number must fulfil those about its name.

    Raises:
        Unreadable: it does not, or the condition is one that offers other values.
    """
    if _free(form):
        return Conditional(form, conditions)
    if isinstance(form, Relation):
        known = {side: form.sides[-1] for side in form.sides if isinstance(side, Quantity) and symbols(side)}
        about = [condition for condition in conditions if symbols(condition) & symbols(tuple(known))]
        if not all(_holds(rewritten(condition, known)) for condition in about):
            raise Unreadable("a value that its condition excludes")
    return form


def _holds(condition: Form) -> bool:
    """Return whether a condition on a number is true."""
    if not isinstance(condition, Relation):
        return False
    *before, last = condition.sides
    if condition.operators == ("in",) and isinstance(last, (Span, Numbers)):
        return last == Span(negative(INFINITY), INFINITY, True, True) or _is_integer(before[0], last)
    sides = [side.value for side in condition.sides if isinstance(side, Quantity) and side.unit is None]
    if len(sides) != len(condition.sides) or symbols(tuple(sides)):
        return False
    signs = [order(a, b, Budget()) for a, b in pairwise(sides)]
    return all(sign in _SIGNS[operator] for sign, operator in zip(signs, condition.operators, strict=True))


def _is_integer(side: Form, numbers: Form) -> bool:
    """Return whether a side is an integer that belongs to a set of numbers."""
    if not (isinstance(side, Quantity) and isinstance(side.value, Number) and isinstance(numbers, Numbers)):
        return False
    value = side.value.value
    is_positive = numbers.name == "integers" or value > 0
    return numbers.name in ("integers", "naturals", "integers+") and value.denominator == 1 and is_positive


def _is_condition_on(form: Form, others: list[Form]) -> bool:
    if not isinstance(form, Relation) or not set(form.operators) <= {"in", "notin", "!=", "<", ">", "<=", ">="}:
        return False
    names = symbols(form)
    values = [
        other
        for other in others
        if isinstance(other, (Quantity, Conditional)) or (isinstance(other, Relation) and other.operators[-1] == "=")
    ]
    return (
        len(values) > 0
        and any(names & symbols(other) for other in values)
        and not any(
            isinstance(other, Relation) and other.operators[-1] != "=" and not names & symbols(tuple(values))
            for other in others
        )
    )
