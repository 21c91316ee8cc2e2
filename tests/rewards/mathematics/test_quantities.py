"""Values with units, money, nouns, percent and angles; conversions against factors by hand."""

from fractions import Fraction

import pytest

from bandpo.rewards.mathematics.units import UNITS, unit_of
from tests.rewards.mathematics.verdicts import is_paid, table

FACTORS = {
    ("km", "m"): 1000, ("h", "s"): 3600, ("ft", "in"): 12, ("yd", "ft"): 3, ("mile", "ft"): 5280, ("lb", "oz"): 16,
    ("dollar", "cents"): 100, ("L", "mL"): 1000, ("week", "days"): 7, ("kg", "g"): 1000, ("byte", "bits"): 8,
    ("acre", "yd"): None, ("hectare", "acre"): None, ("year", "months"): 12, ("gallon", "liters"): None,
}  # fmt: skip


@pytest.mark.parametrize("units, factor", FACTORS.items())
def test_factors(units, factor):
    large, small = (unit_of(unit) for unit in units)
    if factor is None:
        assert large.factor != small.factor
    else:
        assert large.dimension == small.dimension and large.factor / small.factor == factor


def test_every_unit_has_a_positive_factor_and_a_dimension():
    assert all(isinstance(unit.factor, Fraction) and unit.factor > 0 and unit.dimension for unit in UNITS.values())


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("5 m", "500 cm"), ("5", "5 cm"), ("5 cm", "5"), ("5 hours", "300 minutes"), ("5 m/s", "18 km/h"),
        ("5", r"5\text{ cm}^2"),
        (r"\$5", "500 cents"), ("5", r"\$5"), ("5", "$5"), (r"30^\circ", "30"), (r"30^\circ", r"\frac{\pi}{6}"),
        ("3 hours 20 minutes", "200 minutes"), ("5 feet 3 inches", "63 inches"), ("12", "12 sq ft"), ("50%", "0.5"),
        ("0.5", r"50\%"), ("50%", "50"), (r"\frac{1}{2}", "50%"), ("5 liters", "5000 cm^3"), ("5", "5 apples"),
        ("4", r"4\text{ ways}"), ("50 mph", "50 miles per hour"), ("3 m", "3 units"), ("5", "five"),
        ("21", "twenty-one"),
        (r"22.5^\circ", r"22^\circ 30'"), ("5 ft", "60 in"), ("8", "8 hours per day"),
        ("15", "15 min"), ("15", r"15\text{ sec}"), ("5000000", "5 million"), ("60", "5 dozen"),
        ("20°C", "20"), ("20", r"20^\circ C"), ("20°C", "20 degrees Celsius"), ("20°C", r"20^\circ\mathrm{C}"),
        ("20°C", r"20^\circ"), ("68°F", "68 degrees F"), ("£45", "4500 pence"), ("€5", "5 euros"), ("₹7", "7 rupees"),
        ("£5", "£5 pounds"), ("45", "45 pence"),
    ),
)  # fmt: skip
def test_same_quantity(reference, answer):
    assert is_paid(reference, answer)


@pytest.mark.parametrize(
    "reference, answer",
    table(
        ("5 cm", "5 m"), ("5", "500 cm"), ("5 cm", "5 cm^2"), ("5 m/s", "5 m"), ("5 km/h", "5 mph"),
        (r"\$5", "5 cents"),
        (r"\$5", "€5"), (r"\frac{\pi}{6}", "30"), ("30", r"\frac{\pi}{6}"), (r"30^\circ", "30 radians"), ("5", "5x"),
        ("5", "5 n"), ("5m", "5"), ("5 apples", "5 oranges"), ("0.5", "0.5%"), ("0.5%", "50%"), ("0.25", "25"),
        ("1", "1%"),
        ("63", "5 feet 3 inches"), ("1 month", "30 days"), ("5 C", "5 F"), ("5", "5 dozens"), ("5", "5 sixths"),
        ("5", "5 pairs"), ("5", "5 thousandths"), ("5", "5 times"), ("3 m/s", "3 m/s^2"), ("5 kg", "5 lbs"),
        ("5", "5 twelfths"), ("5", "5 trillions"), ("5", "5 millionths"), ("5", "five twelfths"), ("5 mm", "5 Mm"),
        ("3 m^3", "3 square units"), ("3 square units", "3 cubic units"), (r"\frac{1}{2}", r"0.5\%"), ("5", "€5 kg"),
        ("20°C", "20°F"), ("20°C", "20 degrees Fahrenheit"), ("20°C", "68°F"), ("20°C", "30°C"), ("20", "20° C x"),
        ("£45", "45 pence"), ("45 pence", "£45"), ("£5", "€5"), ("€5", "₹5"), ("£5", "$5"), ("£5", "5 kg"),
        ("5", "5 dozen"),
    ),
)  # fmt: skip
def test_another_quantity(reference, answer):
    assert not is_paid(reference, answer)
