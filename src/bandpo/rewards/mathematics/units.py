"""Units of measurement: each a factor and a dimension, so that 1 m is 100 cm and no second is a metre."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Unit:
    """A unit, or a product of powers of units.

    Attributes:
        factor: how many of the base unit of its dimension it is.
        dimension: powers of base dimensions, sorted by name, such as (("length", 1), ("time", -1)).
        is_mixed: whether the quantity was written in several units, so that its number alone says nothing.
    """

    factor: Fraction
    dimension: tuple[tuple[str, int], ...]
    is_mixed: bool = False

    def power(self, exponent: int) -> Unit:
        """Return the unit to an integer power."""
        return Unit(self.factor**exponent, tuple((name, exponent * power) for name, power in self.dimension))

    def times(self, other: Unit) -> Unit:
        """Return the product of two units."""
        powers = dict(self.dimension)
        for name, power in other.dimension:
            powers[name] = powers.get(name, 0) + power
        kept = tuple(sorted((name, power) for name, power in powers.items() if power))
        return Unit(self.factor * other.factor, kept)


def _named(dimension: str, power: int = 1, **names: str) -> dict[str, Unit]:
    """Return the units of one dimension: base unit `x`, or `x` with a factor, and its names."""
    found = {}
    for factor_names in names.values():
        factor, *words = factor_names.split()
        for word in words:
            found[word] = Unit(Fraction(factor), ((dimension, power),))
    return found


UNITS: dict[str, Unit] = {
    **_named(
        "length",
        km="1000 km kms kilometer kilometers kilometre kilometres 千米 公里",
        m="1 m meter meters metre metres 米",
        dm="1/10 dm decimeter decimeters 分米",
        cm="1/100 cm cms centimeter centimeters centimetre centimetres 厘米",
        mm="1/1000 mm millimeter millimeters millimetre millimetres 毫米",
        inch="127/5000 in inch inches",
        foot="381/1250 ft foot feet",
        yard="1143/1250 yd yard yards",
        mile="201168/125 mi mile miles",
    ),
    **_named(
        "time",
        ms="1/1000 ms millisecond milliseconds",
        s="1 s sec secs second seconds 秒",
        min="60 min mins minute minutes 分钟",
        h="3600 h hr hrs hour hours 小时",
        day="86400 day days 天 日",
        week="604800 wk week weeks 周 星期",
    ),
    **_named("months", month="1 month months 个月", year="12 yr yrs year years 年 岁"),
    **_named(
        "mass",
        mg="1/1000000 mg milligram milligrams",
        g="1/1000 g gram grams gm 克",
        kg="1 kg kgs kilogram kilograms 千克 公斤",
        t="1000 tonne tonnes 吨",
        lb="45359237/100000000 lb lbs pound pounds",
        oz="45359237/1600000000 oz ounce ounces",
    ),
    **_named("money", cent="1/100 cent cents ¢", dollar="1 dollar dollars usd bucks"),
    **_named("euro", euro="1 euro euros eur"),
    **_named("rupee", rupee="1 rupee rupees rs inr"),
    **_named("yuan", yuan="1 yuan rmb cny 元"),
    **_named("yen", yen="1 yen jpy"),
    **_named("sterling", pence="1/100 pence", sterling="1 gbp"),
    **_named("currency", any="1 currency"),
    **_named(
        "length",
        3,
        ml="1/1000000 ml mL milliliter milliliters millilitre millilitres 毫升",
        l="1/1000 l L liter liters litre litres 升",
        gallon="473176473/125000000000 gallon gallons gal",
    ),
    **_named("length", 2, hectare="10000 hectare hectares ha", acre="316160658/78125 acre acres"),
    **_named("angle", degree="1 degree degrees deg 度", minute="1/60 arcminutes", second="1/3600 arcseconds"),
    **_named("radian", radian="1 rad rads radian radians 弧度"),
    **_named("frequency", hz="1 hz hertz Hz", khz="1000 khz kHz", rpm="1/60 rpm"),
    **_named("energy", j="1 J joule joules", kj="1000 kJ", cal="523/125 cal calories", kwh="3600000 kWh"),
    **_named("force", n="1 N newton newtons"),
    **_named("power", w="1 W watt watts", kw="1000 kW"),
    **_named("voltage", v="1 V volt volts"),
    **_named("current", a="1 amp amps ampere amperes"),
    **_named("resistance", ohm="1 ohm ohms"),
    **_named("temperature", c="1 celsius ℃"),
    **_named("fahrenheit", f="1 fahrenheit"),
    **_named("information", bit="1 bit bits", byte="8 byte bytes"),
    **_named("pure", unit="1 unit units"),
}
UNITS |= {
    "mph": UNITS["mile"].times(UNITS["hour"].power(-1)),
    "kmh": UNITS["km"].times(UNITS["hour"].power(-1)),
    "kph": UNITS["km"].times(UNITS["hour"].power(-1)),
}
DEGREES, PERCENTS, MONEY = UNITS["degree"], Unit(Fraction(1), (("percent", 1),)), UNITS["currency"]

CURRENCIES = frozenset({"money", "euro", "rupee", "yuan", "yen", "sterling", "currency"})

# Single letters that are units only where a blank or \text{} sets them apart from a variable.
LETTERS = frozenset(["m", "s", "h", "g", "l", "L", "t", "J", "N", "W", "V"])


def unit_of(word: str) -> Unit | None:
    """Return the unit that a word names, None where it names none.

    >>> from bandpo.rewards.mathematics.units import unit_of
    >>> unit_of("Minutes").factor, unit_of("apples")
    (Fraction(60, 1), None)
    """
    return UNITS.get(word) or (UNITS.get(word.lower()) if len(word) > 2 else None)
