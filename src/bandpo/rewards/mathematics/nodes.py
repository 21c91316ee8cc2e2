"""Expressions as trees of frozen nodes, equal exactly where they are written alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Node:
    """Part of an expression."""


@dataclass(frozen=True)
class Number(Node):
    """An integer, a decimal or a recurring one, exactly."""

    value: Fraction


@dataclass(frozen=True)
class Symbol(Node):
    """A variable, or anything else that stands for itself: a vector, a segment."""

    name: str


@dataclass(frozen=True)
class Constant(Node):
    """`pi`, `e`, `i`, and `degree`, `percent` and the like until a unit is made of them."""

    name: str


@dataclass(frozen=True)
class Infinity(Node):
    """Infinity with the sign plus."""


@dataclass(frozen=True)
class Dots(Node):
    """An ellipsis, which equals nothing but an ellipsis at the same place."""


@dataclass(frozen=True)
class Sum(Node):
    """The sum of its terms."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Product(Node):
    """The product of its factors."""

    factors: tuple[Node, ...]


@dataclass(frozen=True)
class Quotient(Node):
    """`above` divided by `below`."""

    above: Node
    below: Node


@dataclass(frozen=True)
class Power(Node):
    """`base` to the power of `exponent`."""

    base: Node
    exponent: Node


@dataclass(frozen=True)
class Call(Node):
    """A known function of its arguments: sin, root, binomial."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Applied(Node):
    """A function that only has a name, such as f(x): a symbol of its own for every argument."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Iterated(Node):
    """A sum or product over an integer index, both ends included."""

    kind: str
    index: str
    first: Node
    last: Node
    body: Node


@dataclass(frozen=True)
class Matrix(Node):
    """Rows of equal length."""

    rows: tuple[tuple[Node, ...], ...]


ZERO, ONE, MINUS_ONE = Number(Fraction(0)), Number(Fraction(1)), Number(Fraction(-1))
PI, E, IMAGINARY = Constant("pi"), Constant("e"), Constant("i")
DEGREE, PERCENT = Constant("degree"), Constant("percent")
CELSIUS, FAHRENHEIT = Constant("celsius"), Constant("fahrenheit")
INFINITY = Infinity()


def number(value: int | str | Fraction) -> Number:
    """Return the node of a rational number.

    >>> from bandpo.rewards.mathematics.nodes import number
    >>> number("0.5")
    Number(value=Fraction(1, 2))
    """
    return Number(Fraction(value))


def negative(node: Node) -> Node:
    """Return minus a node; a number stays a number.

    >>> from bandpo.rewards.mathematics.nodes import Symbol, negative, number
    >>> negative(number(3)) == number(-3), negative(negative(Symbol("x")))
    (True, Symbol(name='x'))
    """
    if isinstance(node, Number):
        return Number(-node.value)
    if isinstance(node, Product) and node.factors[0] == MINUS_ONE:
        return product(node.factors[1:])
    return product((MINUS_ONE, node))


def product(factors: tuple[Node, ...]) -> Node:
    """Return the product of at least one factor, without a wrapper around a single one."""
    flat: list[Node] = []
    for factor in factors:
        flat.extend(factor.factors if isinstance(factor, Product) else (factor,))
    return flat[0] if len(flat) == 1 else Product(tuple(flat))


def total(terms: tuple[Node, ...]) -> Node:
    """Return the sum of at least one term, without a wrapper around a single one."""
    return terms[0] if len(terms) == 1 else Sum(terms)


def parts(node: Any) -> Iterator[Any]:
    """Yield what a node, or a tuple of them, holds directly."""
    if isinstance(node, tuple):
        yield from node
    elif isinstance(node, Node):
        yield from vars(node).values()


def walk(node: Any) -> Iterator[Node]:
    """Yield every node of a tree, or of a tuple of trees, the root first."""
    pending = [node]
    while pending:
        found = pending.pop()
        if isinstance(found, Node):
            yield found
        pending.extend(part for part in parts(found) if isinstance(part, (Node, tuple)))


def symbols(node: Any) -> frozenset[str]:
    """Return the names of the variables of a tree, indices of sums excepted.

    >>> from bandpo.rewards.mathematics.nodes import Product, Symbol, symbols
    >>> sorted(symbols(Product((Symbol("x"), Symbol("y")))))
    ['x', 'y']
    """
    found = list(walk(node))
    bound = {part.index for part in found if isinstance(part, Iterated)}
    return frozenset(part.name for part in found if isinstance(part, Symbol)) - bound


def rewritten(node: Any, by: Mapping[Any, Node]) -> Any:
    """Return a tree, or a tuple of trees, with every node that is a key of `by` replaced by its value.

    >>> from bandpo.rewards.mathematics.nodes import Sum, Symbol, number, rewritten
    >>> rewritten(Sum((Symbol("k"), number(1))), {Symbol("k"): Symbol("n")}).terms[0]
    Symbol(name='n')
    """
    if isinstance(node, tuple):
        return tuple(rewritten(part, by) for part in node)
    if not isinstance(node, Node):
        return node
    if node in by:
        return by[node]
    changes = {f.name: rewritten(getattr(node, f.name), by) for f in fields(node)}
    return replace(node, **changes) if changes else node


def coefficient(node: Node, unit: Constant) -> Node | None:
    """Return c where a node is c times a unit, such as 30° or 20° + x°; None where it is not.

    >>> from bandpo.rewards.mathematics.nodes import DEGREE, Product, coefficient, number
    >>> coefficient(Product((number(30), DEGREE)), DEGREE)
    Number(value=Fraction(30, 1))
    """
    if node == unit:
        return ONE
    if isinstance(node, Sum):
        terms = [coefficient(term, unit) for term in node.terms]
        return None if None in terms else Sum(tuple(term for term in terms if term is not None))
    if isinstance(node, Product):
        measured = [n for n, factor in enumerate(node.factors) if unit in walk(factor)]
        if len(measured) != 1:
            return None
        inner = coefficient(node.factors[measured[0]], unit)
        rest = tuple(factor for n, factor in enumerate(node.factors) if n != measured[0])
        return inner if inner is None or not rest else product(rest) if inner == ONE else product((*rest, inner))
    if isinstance(node, Quotient) and unit not in walk(node.below):
        inner = coefficient(node.above, unit)
        return None if inner is None else Quotient(inner, node.below)
    return None
