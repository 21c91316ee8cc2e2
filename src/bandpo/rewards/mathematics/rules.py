"""The rules by which two forms are compared, entered by what they compare; a pair without a rule is not equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bandpo.rewards.mathematics.forms import Form
from bandpo.rewards.mathematics.values import Budget

Comparison = Callable[[Any, Any, Budget], bool]
_EITHER: dict[type, Comparison] = {}
_PAIRS: dict[tuple[type, type], Comparison] = {}
_DEFAULT: list[Comparison] = []


def either(kind: type) -> Callable[[Comparison], Comparison]:
    """Enter a comparison (reference, answer, budget) for pairs of which either form is of a kind; the first wins."""

    def enter(comparison: Comparison) -> Comparison:
        _EITHER[kind] = comparison
        return comparison

    return enter


def pair(one: type, other: type) -> Callable[[Comparison], Comparison]:
    """Enter a comparison of two kinds, given in this order whichever of them is the reference."""

    def enter(comparison: Comparison) -> Comparison:
        _PAIRS[one, other] = comparison
        return comparison

    return enter


def otherwise(comparison: Comparison) -> Comparison:
    """Enter the comparison of pairs that have no rule of their own."""
    _DEFAULT[:] = [comparison]
    return comparison


def equal(reference: Form, answer: Form, budget: Budget) -> bool:
    """Return whether an answer says what its reference says, by the rules that were entered.

    Raises:
        FalseChain: the answer is a chain of equalities that does not hold.
        TooLarge: it would take more work than the budget has.
        Unreadable: an expression in it has no value.
    """
    budget.spend(20)
    if reference == answer:
        return True
    for kind, comparison in _EITHER.items():
        if isinstance(reference, kind) or isinstance(answer, kind):
            return comparison(reference, answer, budget)
    if comparison := _PAIRS.get((type(reference), type(answer))):
        return comparison(reference, answer, budget)
    if comparison := _PAIRS.get((type(answer), type(reference))):
        return comparison(answer, reference, budget)
    return _DEFAULT[0](reference, answer, budget)


def matched(left: Sequence[Any], right: Sequence[Any], same_pair: Comparison, budget: Budget) -> bool:
    """Return whether the forms of two collections are equal in some order."""
    if len(left) != len(right):
        return False
    rest = list(right)
    unmatched = []
    for form in left:
        if form in rest:
            rest.remove(form)
        else:
            unmatched.append(form)
    for form in unmatched:
        index = next((n for n, other in enumerate(rest) if same_pair(form, other, budget)), None)
        if index is None:
            return False
        rest.pop(index)
    return True


def in_order(left: Sequence[Form], right: Sequence[Form], budget: Budget) -> bool:
    """Return whether two sequences are equal, form by form."""
    return len(left) == len(right) and all(equal(a, b, budget) for a, b in zip(left, right, strict=True))
