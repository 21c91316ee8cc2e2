"""Rules for quantities, ratios, times, dates, numbers in a base and words."""

from __future__ import annotations

from math import gcd

from bandpo.rewards.mathematics.forms import Based, Clock, Day, Form, Quantity, Ratio, Words
from bandpo.rewards.mathematics.nodes import ONE, PI, Node, Number, Quotient, number, product, walk
from bandpo.rewards.mathematics.ordering import order
from bandpo.rewards.mathematics.rules import either, pair
from bandpo.rewards.mathematics.same import same
from bandpo.rewards.mathematics.units import DEGREES, PERCENTS, UNITS, Unit
from bandpo.rewards.mathematics.values import Budget

_KINDS = ("function", "triangle", "number", "integer", "quadrilateral", "angle", "lines")


@pair(Quantity, Quantity)
def _quantities(reference: Quantity, answer: Quantity, budget: Budget) -> bool:
    """Compare values with units; a unit that one of them lacks is understood."""
    if reference.noun and (answer.noun or answer.unit) and reference.noun != answer.noun:
        return False
    if not _same_power(reference.unit, answer.unit):
        return False
    expected, given = _unit(reference), _unit(answer)
    if expected is not None and given is not None and not _is_bare_degree(expected, given):
        is_same_kind = expected.dimension == given.dimension
        return is_same_kind and same(_measured(reference, expected), _measured(answer, given), budget)
    unit = expected or given
    if unit is not None and unit.is_mixed:
        return False
    if unit == PERCENTS:
        return _percentage(reference.value, answer.value, expected is not None, budget)
    if unit == DEGREES and any(node == PI for node in walk((reference.value, answer.value))):
        degrees, radians = (reference, answer) if expected else (answer, reference)
        return same(product((degrees.value, Quotient(PI, number(180)))), radians.value, budget)
    return same(reference.value, answer.value, budget)


def _is_bare_degree(left: Unit, right: Unit) -> bool:
    """Return whether degrees stand beside degrees of a scale of temperature, which is understood then."""
    return DEGREES in (left, right) and {UNITS["celsius"], UNITS["fahrenheit"]} & {left, right} != set()


def _same_power(left: Unit | None, right: Unit | None) -> bool:
    """Return whether "square units" stands beside an area, "units" beside anything."""
    if left is None or right is None:
        return True
    powers = [sum(power for _, power in unit.dimension) for unit in (left, right)]
    is_pure = [unit.dimension[:1] and unit.dimension[0][0] == "pure" for unit in (left, right)]
    return (
        not any(is_pure) or powers[0] == powers[1] or 1 in (p for p, pure in zip(powers, is_pure, strict=True) if pure)
    )


def _unit(quantity: Quantity) -> Unit | None:
    """Return the unit of a quantity, None where it only says that there is one."""
    unit = quantity.unit
    return None if unit is None or (unit.dimension[:1] and unit.dimension[0][0] == "pure") else unit


def _measured(quantity: Quantity, unit: Unit) -> Node:
    return product((quantity.value, Number(unit.factor)))


def _percentage(reference: Node, answer: Node, is_reference_percent: bool, budget: Budget) -> bool:
    """Compare where one side is a percentage: by value, and by number where percent may have been asked for."""
    percentage, bare = (reference, answer) if is_reference_percent else (answer, reference)
    if same(Quotient(percentage, number(100)), bare, budget):
        return True
    may_be_percent = is_reference_percent or order(bare, ONE, budget) == 1
    return may_be_percent and same(percentage, bare, budget)


@pair(Ratio, Ratio)
def _ratios(reference: Ratio, answer: Ratio, budget: Budget) -> bool:
    (a, *expected), (b, *given) = reference.terms, answer.terms
    return len(expected) == len(given) and all(
        same(product((a, y)), product((b, x)), budget) for x, y in zip(expected, given, strict=True)
    )


@pair(Ratio, Quantity)
def _ratio_fraction(terms: Ratio, quantity: Quantity, budget: Budget) -> bool:
    is_fraction = len(terms.terms) == 2 and quantity.unit is None and isinstance(quantity.value, Quotient)
    return is_fraction and same(Quotient(*terms.terms), quantity.value, budget)


@pair(Clock, Ratio)
def _clock_ratio(clock: Clock, terms: Ratio, budget: Budget) -> bool:
    ratio = _as_ratio(clock)
    return ratio is not None and _ratios(ratio, terms, budget)


@pair(Clock, Quantity)
def _clock_fraction(clock: Clock, quantity: Quantity, budget: Budget) -> bool:
    ratio = _as_ratio(clock)
    return ratio is not None and _ratio_fraction(ratio, quantity, budget)


def _as_ratio(clock: Clock) -> Ratio | None:
    """Return 16:25 as a ratio; one that could be simplified is a time and nothing else."""
    is_ratio = not clock.half and not clock.second and gcd(clock.hour, clock.minute) == 1 and clock.minute > 0
    return Ratio((number(clock.hour), number(clock.minute))) if is_ratio else None


@pair(Clock, Clock)
def _clocks(reference: Clock, answer: Clock, budget: Budget) -> bool:
    if reference.half != answer.half and "" not in (reference.half, answer.half):
        return False
    times = [(clock.hour, clock.minute, clock.second) for clock in (reference, answer)]
    return times[0] == times[1] or _of_day(reference) == _of_day(answer)


def _of_day(clock: Clock) -> tuple[int, int, int]:
    """Return a time on the 24-hour clock."""
    hour = clock.hour % 12 + (12 if clock.half == "p" else 0) if clock.half else clock.hour
    return hour, clock.minute, clock.second


@pair(Day, Day)
def _days(reference: Day, answer: Day, budget: Budget) -> bool:
    is_same_day = (reference.month, reference.day) == (answer.month, answer.day)
    return is_same_day and (reference.year == answer.year or None in (reference.year, answer.year))


@either(Based)
def _based(reference: Form, answer: Form, budget: Budget) -> bool:
    """Compare by value; the bare digits count where the reference says the base, which the question then asked for."""
    if isinstance(reference, Based) and isinstance(answer, Based):
        return reference.value == answer.value
    based, other = (reference, answer) if isinstance(reference, Based) else (answer, reference)
    if not isinstance(based, Based) or not isinstance(other, Quantity) or other.unit is not None:
        return False
    values = [based.value, *([int(based.digits)] if based is reference and based.digits.isdigit() else [])]
    return any(same(number(value), other.value, budget) for value in values)


@pair(Words, Words)
def _words(reference: Words, answer: Words, budget: Budget) -> bool:
    """Compare words; a noun that says what kind of thing it is may be left out: odd, odd function."""
    shorter, longer = sorted((reference.text, answer.text), key=len)
    return shorter == longer or longer in {f"{shorter} {noun}" for noun in _KINDS}
