"""What an answer can be: a quantity, a list, an interval, an equation, words; each a frozen value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bandpo.rewards.mathematics.nodes import Node, parts
from bandpo.rewards.mathematics.units import Unit

UNNAMED = "?"  # the variable of "> 5", which nobody named


@dataclass(frozen=True)
class Form(Node):
    """One reading of an answer."""


@dataclass(frozen=True)
class Quantity(Form):
    """A value with its unit, or with the noun that it counts."""

    value: Node
    unit: Unit | None = None
    noun: str | None = None


@dataclass(frozen=True)
class Group(Form):
    """Values in order, in brackets: a point, a vector, and where there are two also an open interval."""

    items: tuple[Form, ...]
    bracket: str = "("


@dataclass(frozen=True)
class Span(Form):
    """An interval, closed or open at either end."""

    low: Node
    high: Node
    is_low_open: bool
    is_high_open: bool


@dataclass(frozen=True)
class Finite(Form):
    """A set in braces."""

    items: tuple[Form, ...]


@dataclass(frozen=True)
class Listing(Form):
    """Values without brackets; `joint` is "," or "and" or "or"."""

    items: tuple[Form, ...]
    joint: str


@dataclass(frozen=True)
class Relation(Form):
    """A chain such as a = b < c; one operator fewer than sides."""

    sides: tuple[Form, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Union(Form):
    """The union of sets."""

    items: tuple[Form, ...]


@dataclass(frozen=True)
class Difference(Form):
    """A set without the elements of another."""

    whole: Form
    removed: Form


@dataclass(frozen=True)
class Numbers(Form):
    """The integers, naturals, rationals or complexes."""

    name: str


@dataclass(frozen=True)
class Builder(Form):
    """The set of all `variable` for which a condition holds."""

    variable: str
    condition: Form


@dataclass(frozen=True)
class Congruence(Form):
    """left = right modulo modulus."""

    left: Form
    right: Form
    modulus: Node


@dataclass(frozen=True)
class Conditional(Form):
    """A form and what is said of its variables; `restricts` where it holds under the condition only."""

    form: Form
    relations: tuple[Form, ...]
    restricts: bool = False


@dataclass(frozen=True)
class Ratio(Form):
    """a : b, or more of them."""

    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Cases(Form):
    """A function given piece by piece: pairs of a form and its condition, None for "otherwise"."""

    pieces: tuple[tuple[Form, Form | None], ...]


@dataclass(frozen=True)
class Clock(Form):
    """A time of day; `half` is "a", "p" or "" where it is not said."""

    hour: int
    minute: int
    second: int
    half: str


@dataclass(frozen=True)
class Day(Form):
    """A date; `year` is None where it is not said."""

    month: int
    day: int
    year: int | None


@dataclass(frozen=True)
class Based(Form):
    """Digits in a base, and the value that they write."""

    digits: str
    value: int


@dataclass(frozen=True)
class Words(Form):
    """Words, without articles and case."""

    text: str


def nodes(form: Any) -> Iterator[Node]:
    """Yield every form and expression in a form."""
    pending = [form]
    while pending:
        found = pending.pop()
        if isinstance(found, Node):
            yield found
        pending.extend(part for part in parts(found) if isinstance(part, (Node, tuple)))
