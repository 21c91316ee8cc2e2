"""Sets of real numbers as unions of intervals, whatever notation they were written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from bandpo.rewards.mathematics.forms import (
    Builder,
    Difference,
    Finite,
    Form,
    Group,
    Listing,
    Quantity,
    Relation,
    Span,
    Union,
)
from bandpo.rewards.mathematics.nodes import (
    INFINITY,
    ZERO,
    Call,
    Infinity,
    Node,
    Sum,
    Symbol,
    negative,
    symbols,
    total,
)
from bandpo.rewards.mathematics.ordering import order
from bandpo.rewards.mathematics.same import same
from bandpo.rewards.mathematics.values import Budget

_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
MINUS_INFINITY = negative(INFINITY)


@dataclass(frozen=True)
class Piece:
    """An interval, of one point where both ends are the same."""

    low: Node
    high: Node
    is_low_open: bool
    is_high_open: bool


Pieces = tuple[Piece, ...]


def pieces(form: Form, budget: Budget) -> Pieces | None:
    """Return a set of real numbers as disjoint intervals in order; None where the form is no such set.

    >>> from bandpo.rewards.mathematics.readings import readings
    >>> from bandpo.rewards.mathematics.real_sets import pieces
    >>> [form] = readings("x > 3 or x <= 1")
    >>> [(piece.is_low_open, piece.is_high_open) for piece in pieces(form, Budget())]
    [(True, False), (True, True)]
    """
    found = _pieces(form, budget)
    if found is None or any(order(piece.low, piece.high, budget) == 1 for piece in found):
        return None
    return _united(found, budget)


def same_set(left: Pieces, right: Pieces, budget: Budget) -> bool:
    """Return whether two sets of disjoint intervals are the same."""
    return len(left) == len(right) and all(
        _same_piece(one, other, budget) for one, other in zip(left, right, strict=True)
    )


def _same_piece(one: Piece, other: Piece, budget: Budget) -> bool:
    ends = (one.low, other.low, one.is_low_open, other.is_low_open), (
        one.high, other.high, one.is_high_open, other.is_high_open,
    )  # fmt: skip
    return all(same(a, b, budget) and (a_open == b_open or _is_infinite(a)) for a, b, a_open, b_open in ends)


def _is_infinite(node: Node) -> bool:
    return isinstance(node, Infinity) or node == MINUS_INFINITY


def _pieces(form: Form, budget: Budget) -> Pieces | None:
    if isinstance(form, Span):
        return (Piece(form.low, form.high, form.is_low_open, form.is_high_open),)
    if isinstance(form, Group):
        values = [item.value for item in form.items if isinstance(item, Quantity) and item.unit is None]
        if len(values) != 2 or len(form.items) != 2 or form.bracket != "(":
            return None
        return (Piece(values[0], values[1], True, True),)
    if isinstance(form, Finite):
        values = [item.value for item in form.items if isinstance(item, Quantity)]
        return tuple(Piece(v, v, False, False) for v in values) if values and len(values) == len(form.items) else None
    if isinstance(form, Union):
        return _joined([_pieces(item, budget) for item in form.items])
    if isinstance(form, Difference):
        whole, removed = _pieces(form.whole, budget), _pieces(form.removed, budget)
        return None if whole is None or removed is None else _without(whole, removed, budget)
    if isinstance(form, Builder):
        return _pieces(form.condition, budget) if symbols(form.condition) == {form.variable} else None
    if isinstance(form, Listing):
        return _listed(form, budget)
    return _related(form, budget) if isinstance(form, Relation) else None


def _listed(form: Listing, budget: Budget) -> Pieces | None:
    """Return the set of several relations on one variable: all hold, or any where none can hold with another."""
    if not all(isinstance(item, Relation) for item in form.items) or len(symbols(form)) != 1:
        return None
    found = [_pieces(item, budget) for item in form.items]
    if None in found:
        return None
    common: Pieces | None = found[0]
    for other in found[1:]:
        common = _common(common or (), other or (), budget)
        if common is None:
            return None
    if form.joint == "and":
        return common or None
    return common if common and form.joint != "or" else _joined(found)


def _related(form: Relation, budget: Budget) -> Pieces | None:
    names = symbols(form)
    if len(names) != 1 or not all(
        isinstance(side, (Quantity, Span, Union, Finite, Group, Difference)) for side in form.sides
    ):
        return None
    [name] = names
    variable = Quantity(Symbol(name))
    if form.operators == ("in",) and form.sides[0] == variable:
        return _pieces(form.sides[1], budget)
    values = [side.value for side in form.sides if isinstance(side, Quantity)]
    if len(values) != len(form.sides):
        return None
    if len(values) == 3 and form.sides[1] == variable:
        first, second = form.operators
        if {first, second} <= {"<", "<="}:
            return (Piece(values[0], values[2], first == "<", second == "<"),)
        if {first, second} <= {">", ">="}:
            return (Piece(values[2], values[0], second == ">", first == ">"),)
    if len(values) != 2 or form.operators[0] not in _TURNED:
        return None
    operator, (left, right) = form.operators[0], values
    if symbols(right) and not symbols(left):
        operator, left, right = _TURNED[operator], right, left
    if isinstance(left, Call) and left.name == "abs" and not symbols(right):
        return _around(left.arguments[0], variable.value, operator, right, budget)
    return _half_line(operator, right) if left == variable.value and not symbols(right) else None


def _half_line(operator: str, end: Node) -> Pieces:
    below = Piece(MINUS_INFINITY, end, True, operator != "<=")
    above = Piece(end, INFINITY, operator != ">=", True)
    return {"<": (below,), "<=": (below,), ">": (above,), ">=": (above,), "!=": (below, above)}[operator]


def _around(inside: Node, variable: Node, operator: str, radius: Node, budget: Budget) -> Pieces | None:
    """Return the set of |x − c| < radius and its like."""
    terms = inside.terms if isinstance(inside, Sum) else (inside,)
    if variable not in terms or symbols(rest := tuple(term for term in terms if term != variable)):
        return None
    centre = negative(total(rest)) if rest else ZERO
    low, high = total((centre, negative(radius))), total((centre, radius))
    if order(radius, ZERO, budget) != 1:
        return None
    is_open = operator in ("<", ">")
    if operator in ("<", "<="):
        return (Piece(low, high, is_open, is_open),)
    outside = (Piece(MINUS_INFINITY, low, True, is_open), Piece(high, INFINITY, is_open, True))
    return outside if operator in (">", ">=") else None


def _joined(found: Sequence[Pieces | None]) -> Pieces | None:
    return None if None in found else tuple(piece for part in found for piece in part or ())


def _united(found: Pieces, budget: Budget) -> Pieces:
    """Return pieces in order, those that touch joined; as they are where their ends cannot be ordered."""
    try:
        ordered = sorted(found, key=cmp_to_key(lambda a, b: _before(a, b, budget)))
    except _Unordered:
        return found
    united: list[Piece] = []
    for piece in ordered:
        last = united[-1] if united else None
        if last is None:
            united.append(piece)
            continue
        gap = _compared(last.high, piece.low, budget)
        if gap < 0 or (gap == 0 and last.is_high_open and piece.is_low_open):
            united.append(piece)
            continue
        side = _compared(last.high, piece.high, budget)
        is_open = last.is_high_open and piece.is_high_open if side == 0 else (last if side > 0 else piece).is_high_open
        low_open = last.is_low_open and (piece.is_low_open or _compared(last.low, piece.low, budget) != 0)
        united[-1] = Piece(last.low, last.high if side >= 0 else piece.high, low_open, is_open)
    return tuple(united)


class _Unordered(Exception):
    """Ends that are no constants."""


def _compared(left: Node, right: Node, budget: Budget) -> int:
    budget.spend(600)
    found = order(left, right, budget)
    if found is None:
        raise _Unordered
    return found


def _before(a: Piece, b: Piece, budget: Budget) -> int:
    return _compared(a.low, b.low, budget) or (a.is_low_open - b.is_low_open)


def _common(left: Pieces, right: Pieces, budget: Budget) -> Pieces | None:
    """Return the intersection of two sets, None where their ends cannot be ordered."""
    found = []
    try:
        for a in left:
            for b in right:
                low, high = _compared(a.low, b.low, budget), _compared(a.high, b.high, budget)
                start = a.low if low >= 0 else b.low
                end = a.high if high <= 0 else b.high
                low_open = (a.is_low_open or b.is_low_open) if low == 0 else (a if low > 0 else b).is_low_open
                high_open = (a.is_high_open or b.is_high_open) if high == 0 else (a if high < 0 else b).is_high_open
                width = _compared(end, start, budget)
                if width > 0 or (width == 0 and not low_open and not high_open):
                    found.append(Piece(start, end, low_open, high_open))
    except _Unordered:
        return None
    return tuple(found)


def _without(whole: Pieces, removed: Pieces, budget: Budget) -> Pieces | None:
    left: Pieces | None = whole
    for piece in removed:
        outside = (
            Piece(MINUS_INFINITY, piece.low, True, not piece.is_low_open),
            Piece(piece.high, INFINITY, not piece.is_high_open, True),
        )
        left = None if left is None else _common(left, outside, budget)
    return left
