"""Rules for equations, inequalities and forms under conditions."""

from __future__ import annotations

from collections.abc import Sequence

from bandpo.rewards.mathematics.forms import UNNAMED, Conditional, Congruence, Form, Numbers, Quantity, Relation
from bandpo.rewards.mathematics.nodes import Number, Symbol, negative, rewritten, symbols, total
from bandpo.rewards.mathematics.real_sets import pieces, same_set
from bandpo.rewards.mathematics.rules import either, equal, matched
from bandpo.rewards.mathematics.same import ratio, same
from bandpo.rewards.mathematics.statements import FalseChain, Statement, statement
from bandpo.rewards.mathematics.values import Budget

_FUNCTION_LABELS = frozenset({"y", "f()", "g()", "h()", "F()", "P()", "Q()"})
_TURNED = {">": "<", ">=": "<="}


@either(Conditional)
def _conditional(reference: Form, answer: Form, budget: Budget) -> bool:
    """Compare forms under conditions; one that is stated on one side only may be understood on the other."""
    if isinstance(answer, Conditional) and answer.restricts and not isinstance(reference, Conditional):
        return False
    (form, conditions), (given, stated) = _parts(reference), _parts(answer)
    by = _renamed_parameter(form, given, (*conditions, *stated))
    given, stated = rewritten(given, by), rewritten(stated, by)
    return equal(form, given, budget) and (not (conditions and stated) or matched(conditions, stated, equal, budget))


def _parts(form: Form) -> tuple[Form, tuple[Form, ...]]:
    return (form.form, form.relations) if isinstance(form, Conditional) else (form, ())


def _renamed_parameter(reference: Form, answer: Form, conditions: Sequence[Form]) -> dict[Symbol, Symbol]:
    """Return the reference's name for the one parameter that runs over integers, by the answer's name for it."""
    wanted, used = symbols(reference) - symbols(answer), symbols(answer) - symbols(reference)
    parameters = {
        side.value.name
        for condition in conditions
        if isinstance(condition, Relation) and isinstance(condition.sides[-1], Numbers)
        for side in condition.sides[:1]
        if isinstance(side, Quantity) and isinstance(side.value, Symbol)
    }
    if len(wanted) != 1 or len(used) != 1 or not used <= parameters:
        return {}
    return {Symbol(*used): Symbol(*wanted)}


@either(Relation)
def _relation(reference: Form, answer: Form, budget: Budget) -> bool:
    """Compare what stands behind labels, else sets of numbers, else equations up to a factor."""
    if isinstance(reference, Relation) and isinstance(answer, Relation):
        return _relations(reference, answer, budget)
    is_reference = isinstance(reference, Relation)
    stated = statement(reference if is_reference else answer, budget, is_reference=is_reference)
    if stated is None:
        return _same_numbers(reference, answer, budget)
    values = checked(stated, budget)
    if is_reference:
        return any(equal(value, answer, budget) for value in values)
    return any(equal(reference, value, budget) for value in values)


def checked(stated: Statement, budget: Budget) -> tuple[Form, ...]:
    """Return the value of a chain, and its decimal where one is given.

    Raises:
        FalseChain: two sides of it differ.
    """
    first, *others = stated.chain
    if any(not equal(first, other, budget) for other in others):
        raise FalseChain("a chain of equalities that does not hold")
    return (first,) if stated.rounded is None or not _shows_digits(stated.rounded) else (first, stated.rounded)


def _shows_digits(rounded: Quantity) -> bool:
    """Return whether a decimal has three digits, so that it says which value it rounds."""
    return isinstance(rounded.value, Number) and abs(rounded.value.value.numerator) >= 100


def _relations(reference: Relation, answer: Relation, budget: Budget) -> bool:
    expected, given = (
        statement(form, budget, is_reference=is_reference)
        for form, is_reference in ((reference, True), (answer, False))
    )
    if expected is not None and given is not None:
        values = checked(expected, budget), checked(given, budget)
        if expected.label == given.label or {expected.label, given.label} <= _FUNCTION_LABELS:
            return any(equal(a, b, budget) for a in values[0] for b in values[1])
    if len((symbols(reference) | symbols(answer)) - {UNNAMED}) <= 1 and _same_numbers(reference, answer, budget):
        return True
    return _same_equation(reference, answer, budget)


def _same_numbers(reference: Form, answer: Form, budget: Budget) -> bool:
    """Return whether two forms are the same set of real numbers."""
    expected, given = pieces(reference, budget), pieces(answer, budget)
    return expected is not None and given is not None and same_set(expected, given, budget)


def _same_equation(left: Relation, right: Relation, budget: Budget) -> bool:
    """Return whether two equations or inequalities are the same up to a factor."""
    sides = []
    for form in (left, right):
        values = [side.value for side in form.sides if isinstance(side, Quantity) and side.unit is None]
        if len(values) != 2 or len(form.sides) != 2:
            return False
        operator, (a, b) = form.operators[0], values
        if operator in _TURNED:
            operator, a, b = _TURNED[operator], b, a
        sides.append((operator, total((a, negative(b)))))
    (operator, expected), (other, given) = sides
    if operator != other or operator not in ("=", "<", "<=", "!=") or symbols(expected) != symbols(given):
        return False
    sign = ratio(expected, given, budget) if symbols(expected) else None
    return sign is not None and (sign > 0 or operator in ("=", "!="))


@either(Congruence)
def _congruence(reference: Form, answer: Form, budget: Budget) -> bool:
    """Compare residue classes; a reference `4 (mod 9)` is also its bare remainder."""
    if not isinstance(reference, Congruence):
        return False
    if not isinstance(answer, Congruence):
        return reference.left == Quantity(Symbol(UNNAMED)) and equal(reference.right, answer, budget)
    rights = [form.right.value for form in (reference, answer) if isinstance(form.right, Quantity)]
    numbers = [node.value for node in (*rights, reference.modulus) if isinstance(node, Number)]
    if len(numbers) != 3 or not same(reference.modulus, answer.modulus, budget):
        return False
    a, b, modulus = numbers
    is_named = UNNAMED not in symbols((reference.left, answer.left))
    return (not is_named or equal(reference.left, answer.left, budget)) and modulus != 0 and (a - b) % modulus == 0
