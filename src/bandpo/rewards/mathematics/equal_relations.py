"""Rules for equations, inequalities and forms under conditions."""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from bandpo.rewards.mathematics.errors import TooLarge, Undefined, Unreadable
from bandpo.rewards.mathematics.forms import (
    UNNAMED,
    Conditional,
    Congruence,
    Form,
    Listing,
    Numbers,
    Quantity,
    Relation,
)
from bandpo.rewards.mathematics.nodes import (
    Applied,
    Node,
    Number,
    Symbol,
    negative,
    number,
    product,
    rewritten,
    symbols,
    total,
)
from bandpo.rewards.mathematics.ordering import ratio
from bandpo.rewards.mathematics.real_sets import pieces, same_set
from bandpo.rewards.mathematics.rules import either, equal, matched
from bandpo.rewards.mathematics.same import same
from bandpo.rewards.mathematics.statements import FalseChain, Statement, statement
from bandpo.rewards.mathematics.values import Budget, Evaluator, precision

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
    return equal(form, given, budget) and (not (conditions and stated) or _same_conditions(conditions, stated, budget))


def _same_conditions(expected: tuple[Form, ...], given: tuple[Form, ...], budget: Budget) -> bool:
    """Return whether conditions are the same one by one, or leave the same numbers: 0 < x < 5 and x > 0, x < 5."""
    if matched(expected, given, equal, budget):
        return True
    is_one_variable = len(symbols((expected, given))) == 1
    return is_one_variable and _same_numbers(Listing(expected, "and"), Listing(given, "and"), budget)


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
    for one, other in ((reference, answer), (answer, reference)):
        if isinstance(one, Relation) and isinstance(other, Congruence):
            return _progression(one, other, budget)
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
    names, others = _defined_of(reference), _defined_of(answer)
    if names and others and names != others:
        return _same_definition(reference, answer, budget)
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


def _defined_of(form: Relation) -> tuple[Node, ...]:
    """Return the arguments of what an equation such as f(x) = x² defines, none of any other."""
    first = form.sides[0].value if isinstance(form.sides[0], Quantity) else None
    names = first.arguments if isinstance(first, Applied) and form.operators == ("=",) else ()
    is_plain = all(isinstance(name, Symbol) and name.name.islower() for name in names)
    return names if is_plain and len(set(names)) == len(names) else ()


def _same_definition(reference: Relation, answer: Relation, budget: Budget) -> bool:
    """Compare what functions are defined as, whatever their arguments are called."""
    names, others = _defined_of(reference), _defined_of(answer)
    if len(names) != len(others) or (symbols(names) - symbols(others)) & symbols(answer.sides[1]):
        return False
    renamed = rewritten(answer.sides[1], dict(zip(others, names, strict=True)))
    return equal(reference.sides[1], renamed, budget)


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


def _progression(relation: Relation, congruence: Congruence, budget: Budget) -> bool:
    """Compare n = 4k + 1, where k runs through the integers, with n ≡ 1 (mod 4)."""
    (name, *_), value, right = relation.sides, relation.sides[-1], congruence.right
    parameters = symbols(value) - symbols(name)
    is_about_name = relation.operators == ("=",) and name == congruence.left and not symbols(value) & symbols(name)
    if not is_about_name or len(parameters) != 1:
        return False
    if not (isinstance(value, Quantity) and isinstance(right, Quantity) and value.unit is None):
        return False
    [parameter] = (Symbol(name) for name in parameters)
    first, second = (rewritten(value.value, {parameter: number(n)}) for n in (0, 1))
    remainder, modulus = _integer(first), _integer(congruence.modulus)
    step, residue = _integer(total((second, negative(first)))), _integer(right.value)
    if remainder is None or modulus is None or step is None or residue is None:
        return False
    is_same_class = abs(step) == abs(modulus) > 0 and (remainder - residue) % modulus == 0
    return is_same_class and same(value.value, total((first, product((number(step), parameter)))), budget)


def _integer(node: Node) -> int | None:
    """Return the value of an expression that is an integer, None for any other."""
    with precision(96):
        try:
            value = Evaluator({}, 96, True, Budget())(node)
        except (Undefined, TooLarge, Unreadable):
            return None
    return int(value.p) if isinstance(value, fmpq) and value.q == 1 else None


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
