"""What an equation states: the value behind a label such as `x = 5`, once its chain of equalities is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, fmpq

from bandpo.rewards.mathematics.errors import Undefined
from bandpo.rewards.mathematics.forms import Form, Group, Quantity, Relation
from bandpo.rewards.mathematics.nodes import (
    MINUS_ONE,
    Applied,
    Call,
    Node,
    Number,
    Product,
    Quotient,
    Sum,
    Symbol,
    symbols,
    walk,
)
from bandpo.rewards.mathematics.values import Budget, Evaluator, precision

_ROUNDING_BITS = 256


class FalseChain(ValueError):
    """A chain of equalities that does not hold."""


@dataclass(frozen=True)
class Statement:
    """A value and the label before it.

    Attributes:
        label: what the value is said to be of, None where nothing is said.
        chain: the sides that must be equal to each other; the first is the value.
        rounded: the decimal behind an approximation sign, None where there is none.
    """

    label: str | None
    chain: tuple[Form, ...]
    rounded: Quantity | None = None


def statement(form: Form, budget: Budget, *, is_reference: bool) -> Statement | None:
    """Return what an equation states, None where it is an equation that stands for itself.

    A reference `x + y = 4` is a line, an answer `x + y = 4` may also be the sum that was asked for.

    Raises:
        FalseChain: the decimal behind an approximation sign is not the value rounded.

    >>> from bandpo.rewards.mathematics.readings import readings
    >>> from bandpo.rewards.mathematics.statements import statement
    >>> [form] = readings("x = 5")
    >>> statement(form, Budget(), is_reference=True).label
    'x'
    """
    if not isinstance(form, Relation):
        return None
    if form.operators == ("in",):
        label = name_of(form.sides[0], is_reference)
        return None if label is None else Statement(label, form.sides[1:])
    chain, rounded = _without_approximation(form, budget)
    if not set(chain.operators) <= {"="}:
        return None
    sides = list(chain.sides)
    if len(sides) == 1:
        return Statement(None, chain.sides, rounded)
    if label := name_of(sides[0], is_reference):
        return Statement(label, _values_of(sides), rounded)
    if len(sides) == 2 and not symbols(sides[0]) and (label := name_of(sides[1], True)):
        return Statement(label, (sides[0],), rounded)
    return None if symbols(form) else Statement(None, chain.sides, rounded)


def _values_of(sides: Sequence[Form]) -> tuple[Form, ...]:
    """Return the values behind a name; formulas between it and a number, as in A = πr² = 4π, cannot be checked."""
    name, *values = sides
    if len(values) == 1 and isinstance(name, Group) and isinstance(values[0], Group):
        return (_in_order_of_names(name, values[0]),)
    numbers = [value for value in values if not symbols(value)]
    return tuple(numbers if numbers and numbers[-1] is values[-1] else values)


def _in_order_of_names(names: Group, values: Group) -> Group:
    """Return the components of (y, x) = (1, 2) in the order of the alphabet."""
    if len(names.items) != len(values.items):
        return values
    labels = [str(name_of(item, True)) for item in names.items]
    return Group(tuple(value for _, value in sorted(zip(labels, values.items, strict=True), key=lambda p: p[0])))


def _without_approximation(form: Relation, budget: Budget) -> tuple[Relation, Quantity | None]:
    """Return a chain without the decimal that rounds it, and that decimal.

    Raises:
        FalseChain: the value does not round to it.
    """
    rounded = form.sides[-1]
    if form.operators[-1:] != ("~",) or not isinstance(rounded, Quantity):
        return form, None
    if not _rounds_to(form.sides[-2], rounded, budget):
        raise FalseChain("a value that does not round to the decimal behind it")
    return Relation(form.sides[:-1], form.operators[:-1]), rounded


def name_of(form: Form, is_reference: bool) -> str | None:
    """Return the name that a side of an equation is: a variable, f(x), a segment, a pair of variables.

    >>> from bandpo.rewards.mathematics.forms import Quantity
    >>> from bandpo.rewards.mathematics.nodes import Symbol
    >>> name_of(Quantity(Symbol("x")), True)
    'x'
    """
    if isinstance(form, Group):
        names = [name_of(item, is_reference) for item in form.items]
        return None if None in names else f"({','.join(sorted(filter(None, names)))})"
    if not isinstance(form, Quantity) or form.unit or form.noun:
        return None
    return _name(form.value, is_reference)


def _name(node: Node, is_reference: bool) -> str | None:
    if isinstance(node, Symbol):
        return node.name
    if isinstance(node, Applied):
        is_of_variables = all(isinstance(a, Symbol) and a.name.islower() for a in node.arguments)
        return f"{node.name}()" if is_of_variables else f"{node.name}({node.arguments})"
    if isinstance(node, Call) and node.name == "abs":
        inside = _name(node.arguments[0], is_reference)
        is_length = inside is not None and (
            inside.isupper() or inside in ("u", "v", "w", "z") or inside.startswith("vector")
        )
        return f"|{inside}|" if is_length else None
    letters = [part.name for part in walk(node) if isinstance(part, Symbol)]
    if len(set(letters)) < len(letters) and not _is_derivative(node):
        return None
    if isinstance(node, Product) and all(isinstance(factor, Symbol) for factor in node.factors):
        name = "".join(factor.name for factor in node.factors if isinstance(factor, Symbol))
        return name if name.isupper() or not is_reference or name.startswith("d") else None
    if isinstance(node, Quotient) and (not is_reference or _is_derivative(node)):
        names = [_name(part, is_reference) for part in (node.above, node.below)]
        return None if None in names else "/".join(filter(None, names))
    if isinstance(node, Sum) and not is_reference:
        return "a sum" if all(_is_plain_term(term) for term in node.terms) else None
    return None


def _is_plain_term(node: Node) -> bool:
    """Return whether a term is a product of different letters, with any sign."""
    factors = node.factors if isinstance(node, Product) else (node,)
    return all(isinstance(f, Symbol) or f == MINUS_ONE for f in factors) and any(isinstance(f, Symbol) for f in factors)


def _is_derivative(node: Node) -> bool:
    sides = (node.above, node.below) if isinstance(node, Quotient) else ()
    return bool(sides) and all(isinstance(side, Product) and side.factors[0] == Symbol("d") for side in sides)


def _rounds_to(exact: Form, rounded: Quantity, budget: Budget) -> bool:
    """Return whether a value is the decimal behind it to the digits that the decimal shows."""
    if not isinstance(exact, Quantity) or not isinstance(rounded.value, (Number, Product)):
        return False
    decimal = _decimal(rounded.value)
    if decimal is None or symbols(exact):
        return False
    try:
        with precision(_ROUNDING_BITS):
            value = Evaluator({}, _ROUNDING_BITS, True, budget)(exact.value)
    except Undefined:
        return False
    if not isinstance(value, (fmpq, arb)):
        return False
    step = Fraction(1)
    while (decimal / step).denominator != 1 and step.denominator < 10**12:
        step /= 10
    distance = abs(value - fmpq(decimal.numerator, decimal.denominator))
    is_exact = (
        isinstance(value, fmpq) and distance > 0 and (Fraction(int(value.p), int(value.q)) / step).denominator == 1
    )
    return not is_exact and bool(2 * distance <= fmpq(step.numerator, step.denominator))


def _decimal(node: Node) -> Fraction | None:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Product) and len(node.factors) == 2 and all(isinstance(f, Number) for f in node.factors):
        return node.factors[0].value * node.factors[1].value  # pyright: ignore[reportAttributeAccessIssue]
    return None
