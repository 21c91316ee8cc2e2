"""Rules for lists, sets, points and pieces of functions."""

from __future__ import annotations

from collections.abc import Sequence

from bandpo.rewards.mathematics.equal_relations import checked
from bandpo.rewards.mathematics.forms import (
    Builder,
    Cases,
    Finite,
    Form,
    Group,
    Listing,
    Numbers,
    Quantity,
    Relation,
    Span,
)
from bandpo.rewards.mathematics.nodes import Dots, Number, Symbol, rewritten, walk
from bandpo.rewards.mathematics.real_sets import pieces, same_set
from bandpo.rewards.mathematics.rules import either, equal, in_order, matched, otherwise, pair
from bandpo.rewards.mathematics.same import as_matrix, same
from bandpo.rewards.mathematics.statements import statement
from bandpo.rewards.mathematics.values import Budget


@either(Listing)
def _listing(reference: Form, answer: Form, budget: Budget) -> bool:
    """Compare a list with a list, a set, a named point; "a or a'" with anything that it says twice."""
    if isinstance(reference, Listing) and isinstance(answer, Listing):
        return _lists(reference, answer, budget)
    listed, other = (reference, answer) if isinstance(reference, Listing) else (answer, reference)
    assert isinstance(listed, Listing)
    if isinstance(other, Finite):
        labels, values = _named(listed.items, budget, is_reference=listed is reference)
        return not _are_different(labels) and _same_elements(other.items, values, budget)
    if isinstance(other, Group):
        return _point(other, listed, budget)
    if listed is answer and listed.joint == "or" and all(equal(reference, item, budget) for item in listed.items):
        return True
    return _same_numbers(reference, answer, budget)


def _lists(reference: Listing, answer: Listing, budget: Budget) -> bool:
    sets = pieces(reference, budget), pieces(answer, budget)
    if sets[0] is not None and sets[1] is not None:
        return same_set(sets[0], sets[1], budget)
    if {reference.joint, answer.joint} == {"and", "or"} and _are_ranges(reference):
        return False
    if _has_dots(reference) or _has_dots(answer) or _is_sequence(reference):
        return in_order(reference.items, answer.items, budget)
    names, expected = _named(reference.items, budget, is_reference=True)
    others, given = _named(answer.items, budget, is_reference=False)
    is_named = None not in names and None not in others
    if is_named and (
        (_are_different(names) or _are_different(others)) or sorted(map(str, names)) == sorted(map(str, others))
    ):
        return matched(reference.items, answer.items, equal, budget)
    if _are_different(names) or _are_different(others):
        return in_order(_by_name(names, expected), _by_name(others, given), budget)
    return matched(expected, given, equal, budget)


def _named(items: Sequence[Form], budget: Budget, *, is_reference: bool) -> tuple[list[str | None], list[Form]]:
    """Return labels and values of the items of a list."""
    stated = [statement(item, budget, is_reference=is_reference) for item in items]
    labels = [None if found is None else found.label for found in stated]
    values = [item if found is None else checked(found, budget)[0] for item, found in zip(items, stated, strict=True)]
    return labels, values


def _are_different(labels: Sequence[str | None]) -> bool:
    """Return whether labels name several unknowns, not the solutions x_1, x_2 of one."""
    return len({label.split("_")[0] for label in labels if label is not None}) > 1


def _by_name(labels: Sequence[str | None], values: Sequence[Form]) -> Sequence[Form]:
    """Return values in the order of their names, as they are where they have none."""
    if not _are_different(labels):
        return values
    order = sorted(range(len(values)), key=lambda n: str(labels[n]))
    return [values[n] for n in order]


def _are_ranges(form: Listing) -> bool:
    return all(isinstance(item, Relation) and "=" not in item.operators for item in form.items)


def _has_dots(form: Form) -> bool:
    return any(isinstance(node, Dots) for node in walk(form))


def _is_sequence(form: Listing) -> bool:
    """Return whether a list of capitals is in another order than the alphabet's, so that the order is meant."""
    letters = [item.value.name for item in form.items if isinstance(item, Quantity) and isinstance(item.value, Symbol)]
    is_capital = len(letters) == len(form.items) and all(len(letter) == 1 and letter.isupper() for letter in letters)
    return is_capital and letters != sorted(letters)


def _point(group: Group, listed: Listing, budget: Budget) -> bool:
    """Compare a point with its coordinates by name: x = 2, y = 3."""
    labels, values = _named(listed.items, budget, is_reference=False)
    is_named = None not in labels and len(set(labels)) == len(labels) > 1
    order = sorted(range(len(values)), key=lambda n: str(labels[n]))
    return is_named and in_order(group.items, [values[n] for n in order], budget)


@pair(Finite, Finite)
def _finite(reference: Finite, answer: Finite, budget: Budget) -> bool:
    if _has_dots(reference) or _has_dots(answer):
        return in_order(reference.items, answer.items, budget)
    return _same_elements(reference.items, answer.items, budget)


def _same_elements(left: Sequence[Form], right: Sequence[Form], budget: Budget) -> bool:
    return matched(_distinct(left, budget), _distinct(right, budget), equal, budget)


def _distinct(items: Sequence[Form], budget: Budget) -> list[Form]:
    different = list(dict.fromkeys(items))
    if all(isinstance(item, Quantity) and item.unit is None and isinstance(item.value, Number) for item in different):
        return different
    found: list[Form] = []
    for item in different:
        if not any(equal(item, other, budget) for other in found):
            found.append(item)
    return found


@pair(Finite, Quantity)
def _single(braces: Finite, single: Quantity, budget: Budget) -> bool:
    return len(braces.items) == 1 and equal(braces.items[0], single, budget)


@pair(Group, Group)
def _groups(reference: Group, answer: Group, budget: Budget) -> bool:
    is_interval = len(answer.items) == 2 and "[" in (reference.bracket, answer.bracket)
    return (not is_interval or reference.bracket == answer.bracket) and in_order(reference.items, answer.items, budget)


@pair(Group, Quantity)
def _vector(group: Group, quantity: Quantity, budget: Budget) -> bool:
    """Compare a vector in brackets with a column or a row."""
    rows = as_matrix(quantity.value)
    if rows is None or (len(rows) > 1 and len(rows[0]) > 1):
        return False
    entries = [entry for row in rows for entry in row]
    values = [item.value for item in group.items if isinstance(item, Quantity)]
    return len(values) == len(entries) == len(group.items) and all(
        same(a, b, budget) for a, b in zip(values, entries, strict=True)
    )


@pair(Span, Quantity)
def _row(span: Span, quantity: Quantity, budget: Budget) -> bool:
    is_closed = not span.is_low_open and not span.is_high_open
    return is_closed and _vector(Group((Quantity(span.low), Quantity(span.high)), "["), quantity, budget)


@pair(Cases, Cases)
def _cases(reference: Cases, answer: Cases, budget: Budget) -> bool:
    def same_piece(left: tuple[Form, Form | None], right: tuple[Form, Form | None], budget: Budget) -> bool:
        if left[1] is None or right[1] is None:
            return equal(left[0], right[0], budget)
        return equal(left[0], right[0], budget) and equal(left[1], right[1], budget)

    remainders = [sum(condition is None for _, condition in form.pieces) for form in (reference, answer)]
    return max(remainders) <= 1 and matched(reference.pieces, answer.pieces, same_piece, budget)


@pair(Builder, Builder)
def _builders(reference: Builder, answer: Builder, budget: Budget) -> bool:
    expected, given = pieces(reference, budget), pieces(answer, budget)
    if expected is not None and given is not None:
        return same_set(expected, given, budget)
    renamed = rewritten(answer.condition, {Symbol(answer.variable): Symbol(reference.variable)})
    return equal(reference.condition, renamed, budget)


@pair(Numbers, Numbers)
def _numbers(reference: Numbers, answer: Numbers, budget: Budget) -> bool:
    return reference.name == answer.name


@otherwise
def _same_numbers(reference: Form, answer: Form, budget: Budget) -> bool:
    """Compare sets of real numbers in different notation; a number is no set, and a pair none in braces."""
    if (
        isinstance(reference, Quantity)
        or isinstance(answer, Quantity)
        or {type(reference), type(answer)} == {Group, Finite}
    ):
        return False
    expected, given = pieces(reference, budget), pieces(answer, budget)
    return expected is not None and given is not None and same_set(expected, given, budget)
