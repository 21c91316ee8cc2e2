"""True answers with other spellings that are as right, and edits that make them wrong, as hypothesis strategies.

Every number comes from Fraction and every edit is kept only if exact arithmetic says that it differs, so that a grader
which pays one is at fault without anybody having to look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], object]


@dataclass
class Case:
    """A reference with answers that equal it and answers, by the name of their edit, that do not."""

    reference: str
    right: list[str]
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def add(self, edit: str, *answers: str) -> Case:
        """Take these too as wrong answers."""
        self.wrong += [(edit, answer) for answer in answers]
        return self


def fraction(value: Fraction) -> str:
    r"""A rational number as LaTeX, its sign in front.

    >>> fraction(Fraction(-1, 2)), fraction(Fraction(3))
    ('-\\frac{1}{2}', '3')
    """
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def hedges(truth: str, other: str) -> list[tuple[str, str]]:
    """The true answer beside another one, in many words; none is an answer to a question that has one."""
    return [
        ("another candidate", phrase)
        for phrase in (
            f"{truth}, {other}",
            f"{other}, {truth}",
            f"{truth}; {other}",
            rf"{truth} \text{{ or }} {other}",
            rf"{other} \text{{ or }} {truth}",
            rf"{truth} \text{{ and }} {other}",
            rf"\text{{either }} {truth} \text{{ or }} {other}",
            rf"{truth} \text{{ (or }} {other}\text{{)}}",
            rf"{truth} \text{{, maybe }} {other}",
            rf"{truth} \text{{ or perhaps }} {other}",
            rf"{truth}, \text{{ possibly }} {other}",
            rf"{truth} \text{{ unless it is }} {other}",
            rf"\text{{not }} {truth} \text{{ but }} {other}",
            rf"{truth} \vee {other}",
            rf"{truth} \to {other}",
            rf"{truth} \ne {other}",
            rf"{other} \quad {truth}",
        )
    ]


def negations(truth: str) -> list[tuple[str, str]]:
    """The true answer in words that take it back or make a range of it."""
    words = ("not", "anything but", "at least", "more than", "less than", "minus", "half of", "twice")
    before = [rf"\text{{{word} }} {truth}" for word in words]
    after = [rf"{truth} \text{{ {word}}}" for word in ("or more", "at most", "is wrong", "thousand", "dozen")]
    signs = [f"> {truth}", rf"\ge {truth}", rf"\neq {truth}", rf"< {truth}"]
    return [("appended word", answer) for answer in before + after] + [("relation in front", sign) for sign in signs]


@st.composite
def integers(draw: Draw) -> Case:
    """An integer above 2, spelled with thousands separators, as a sum, a quotient, a power of ten."""
    n = draw(st.integers(3, 10**7))
    part = draw(st.integers(1, n - 1))
    other = draw(st.integers(2, 10**7).filter(lambda other: other not in (n, n * n)))
    right = [str(n), f"+{n}", f"{n}.0", f"{n - part}+{part}", rf"\frac{{{7 * n}}}{{7}}", rf"{2 * n} \div 2"]
    right += [f"{n:,}", f"{n:,}".replace(",", "{,}"), rf"\text{{{n}}}", f"{n}."]
    case = Case(str(n), right)
    case.add("sign", f"-{n}", rf"\pm {n}").add("appended symbol", f"{n}x", f"{n}!", f"{n}i", rf"{n}\pi", f"{n}^2")
    case.add("changed digit", str(n + 1), str(n - 1), f"{n}0", f"{n}{n % 10}", f"0.{n}")
    case.add("appended digits", f"{n}.5", f"{n} 5", f"{n}e1", f"{n}e-1", f"{n}, 000")
    case.add(
        "other operator", f"{n}-{part}", rf"{n} \cdot 2", f"{n}/2", f"1/{n}", rf"\frac{{1}}{{{n}}}", rf"\sqrt{{{n}}}"
    )
    case.add("false equality", f"{n + 1} = {n}", f"{n} = {n + 1}", f"{other} = {n}")
    case.add("in a bracket with more", f"({n}, {other})", rf"\{{{n}, {other}\}}", rf"[{n}, \infty)", f"({other}, {n})")
    case.add("as an unknown's", f"x > {n}", rf"x \ne {n}", f"{n} x = {other}", f"n - {n}")
    case.wrong += hedges(str(n), str(other)) + negations(str(n))
    return case


@st.composite
def fractions(draw: Draw) -> Case:
    """A proper or improper fraction, also unreduced and as a quotient in one line."""
    value = draw(st.fractions(-50, 50, max_denominator=99).filter(lambda v: v.denominator > 1))
    k = draw(st.integers(2, 9))
    above, below = value.numerator, value.denominator
    right = [
        fraction(value),
        rf"\dfrac{{{above}}}{{{below}}}",
        f"{above}/{below}",
        rf"\frac{{{k * above}}}{{{k * below}}}",
    ]
    right += [rf"\frac{{{-above}}}{{{-below}}}", rf"{above} \div {below}"]
    others = {
        "sign": [-value],
        "changed digit": [value + Fraction(1, below), Fraction(above, below + 1), value + 1],
        "dropped factor": [Fraction(above), k * value, value / k],
        "other operator": [1 / value, Fraction(above * below), Fraction(above - below), Fraction(above + below)],
    }
    case = Case(fraction(value), right)
    for edit, values in others.items():
        case.add(edit, *(fraction(other) for other in values if other != value))
    case.add("appended symbol", rf"{fraction(value)} x", rf"{fraction(value)}\pi", rf"{fraction(value)} i")
    case.add("cut", f"{above}", rf"\frac{{{above}}}{{", rf"{above}/")
    case.wrong += hedges(fraction(value), fraction(value + 1)) + negations(fraction(value))
    return case


@st.composite
def decimals(draw: Draw) -> Case:
    """A decimal of up to five places that does not end in 0."""
    places = draw(st.integers(1, 5))
    digits = draw(st.integers(1, 10**6).filter(lambda n: n % 10))
    value = Fraction(digits, 10**places)
    text = _decimal(digits, places)
    right = [
        text,
        text + "0",
        fraction(value),
        rf"\frac{{{digits}}}{{{10**places}}}",
        f"{digits} \\times 10^{{-{places}}}",
    ]
    case = Case(text, right)
    case.add("sign", f"-{text}").add("changed digit", _decimal(digits + 1, places), _decimal(digits - 1, places))
    case.add("moved point", *(_decimal(digits, p) for p in (places - 1, places + 1, places + 3)))
    case.add("appended digits", text + "1", rf"{text}\overline{{3}}", rf"{text}333\ldots")
    case.add("appended symbol", f"{text}x", rf"{text}\pi", rf"{text} \times 10^{{3}}")
    case.wrong += hedges(text, _decimal(digits + 3, places)) + negations(text)
    return case


def _decimal(digits: int, places: int) -> str:
    text = str(digits).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}" if places else text


@st.composite
def roots(draw: Draw) -> Case:
    """a + b√c with c no square."""
    a, b = draw(st.integers(1, 30)), draw(st.integers(2, 12))
    c = draw(st.integers(2, 60).filter(lambda c: isqrt(c) ** 2 != c))
    text = rf"{a}+{b}\sqrt{{{c}}}"
    right = [text, rf"{b}\sqrt{{{c}}}+{a}", rf"{a}+\sqrt{{{b * b * c}}}", rf"{a} + {b} \cdot \sqrt{{{c}}}"]
    right += [rf"\frac{{{2 * a}+{2 * b}\sqrt{{{c}}}}}{{2}}", rf"{a}+{b}({c})^{{1/2}}"]
    case = Case(text, right)
    case.add("sign", rf"{a}-{b}\sqrt{{{c}}}", rf"-{text}", rf"{a}\pm {b}\sqrt{{{c}}}")
    case.add("changed digit", rf"{a}+{b}\sqrt{{{c + 1}}}", rf"{a + 1}+{b}\sqrt{{{c}}}", rf"{a}+{b + 1}\sqrt{{{c}}}")
    case.add("dropped factor", rf"{a}+\sqrt{{{c}}}", rf"{b}\sqrt{{{c}}}", rf"{a}", rf"\sqrt{{{c}}}", rf"{a}+{b}")
    case.add("other operator", rf"{a}+{b}+\sqrt{{{c}}}", rf"{a}+{b}\sqrt[3]{{{c}}}", rf"{a}+{b} \cdot {c}")
    if a != b:
        case.add("swapped components", rf"{b}+{a}\sqrt{{{c}}}")
    case.add("cut", rf"{a}+{b}\sqrt{{", rf"{a}+{b}\sqrt")
    case.wrong += hedges(text, str(a)) + negations(text)
    return case


@st.composite
def pi_multiples(draw: Draw) -> Case:
    """A rational multiple of pi."""
    value = draw(st.fractions(-20, 20, max_denominator=12).filter(lambda v: v not in (0, 1, -1)))
    above, below = value.numerator, value.denominator
    text = rf"\frac{{{above}\pi}}{{{below}}}" if below > 1 else rf"{above}\pi"
    right = [text, rf"{above}\pi/{below}", rf"\pi \cdot {fraction(value)}".replace(r"\cdot -", r"\cdot (-1) \cdot ")]
    right += [rf"\frac{{{2 * above}\pi}}{{{2 * below}}}", rf"\frac{{{above}}}{{{below}}} \pi", f"{above}π/{below}"]
    case = Case(text, right)
    case.add("sign", text.removeprefix("-") if value < 0 and below == 1 else f"-{text}")
    case.add("changed digit", rf"\frac{{{above + below}\pi}}{{{below}}}", rf"\frac{{{above}\pi}}{{{below + 1}}}")
    case.add("dropped factor", fraction(value), r"\pi", rf"{text.replace(chr(92) + 'pi', 'p')}")
    case.add(
        "other operator", rf"{fraction(value)}+\pi", rf"\frac{{{above}}}{{{below}\pi}}", text.replace(r"\pi", r"\pi^2")
    )
    case.add("rounded", f"{float(value) * 3.14:.2f}", f"{float(value) * 3.14159265:.3f}")
    case.wrong += hedges(text, r"\pi") + negations(text)
    return case


@st.composite
def polynomials(draw: Draw) -> Case:
    """(x + a)(x + b), also expanded."""
    a, b = draw(st.integers(2, 20)), draw(st.integers(2, 20))
    total, product = a + b, a * b
    text = f"x^2+{total}x+{product}"
    right = [
        text,
        f"(x+{a})(x+{b})",
        f"{product}+{total}x+x^2",
        f"x(x+{total})+{product}",
        rf"x^{{2}}+{total} \cdot x+{product}",
    ]
    right += [rf"\frac{{2x^2+{2 * total}x+{2 * product}}}{{2}}"]
    case = Case(text, right)
    case.add("sign", f"x^2-{total}x+{product}", f"x^2+{total}x-{product}", f"-({text})", f"(x-{a})(x-{b})")
    case.add("changed digit", f"x^3+{total}x+{product}", f"x^2+{total + 1}x+{product}", f"(x+{a})(x+{b + 1})")
    case.add("dropped factor", f"x^2+{product}", f"{total}x+{product}", f"x^2+{total}x", f"(x+{a})", f"{product}")
    case.add("other operator", f"(x+{a})+(x+{b})", f"x^2+{total}+{product}", f"x^2 \\cdot {total}x+{product}")
    case.add("other letter", text.replace("x", "y"), f"x^2+{total}y+{product}", f"n^2+{total}n+{product}")
    case.add("false equality", f"{text} = 0", f"y > {text}", f"{text} = {product}")
    case.wrong += hedges(text, f"x^2+{total}x") + negations(text)
    return case


@st.composite
def tuples(draw: Draw) -> Case:
    """A point with two or three different coordinates."""
    values = draw(st.lists(st.fractions(-20, 20, max_denominator=6), min_size=2, max_size=3, unique=True))
    parts = [fraction(value) for value in values]
    text = f"({', '.join(parts)})"
    right = [text, text.replace(" ", ""), rf"\left({','.join(parts)}\right)", f"({', '.join(map(str, values))})"]
    case = Case(text, right)
    case.add("swapped components", f"({', '.join(parts[::-1])})", f"({', '.join([parts[1], parts[0], *parts[2:]])})")
    case.add("removed element", f"({', '.join(parts[1:])})", f"({', '.join(parts[:-1])})", parts[0], parts[-1])
    case.add("extra element", f"({', '.join([*parts, '7'])})", f"({', '.join(['7', *parts])})")
    case.add("changed bracket", rf"\{{{', '.join(parts)}\}}", *([f"[{', '.join(parts)})"] if len(parts) == 2 else []))
    case.add("changed digit", f"({', '.join([fraction(values[0] + 1), *parts[1:]])})")
    if values[0]:
        case.add("sign", f"({', '.join([fraction(-values[0]), *parts[1:]])})", f"-{text}")
    case.add("cut", f"({', '.join(parts)}", f"({parts[0]},")
    case.wrong += hedges(text, f"({', '.join([*parts[:-1], '77'])})")
    return case


@st.composite
def intervals(draw: Draw) -> Case:
    """An interval with one end closed, or with one at infinity."""
    a = draw(st.integers(-30, 30))
    b = a + draw(st.integers(1, 30))
    left, right_end = draw(st.sampled_from(["[)", "(]", "[∞"]))
    high = r"\infty" if right_end == "∞" else str(b)
    close = ")" if right_end == "∞" else right_end
    text = f"{left}{a}, {high}{close}"
    right = [text, text.replace(" ", ""), rf"\left{left}{a},{high}\right{close}"]
    case = Case(text, right)
    inverse = {"[": "(", "(": "[", ")": "]", "]": ")"}
    case.add("changed bracket", f"{inverse[left]}{a}, {high}{close}", rf"\{{{a}, {high}\}}")
    if high != r"\infty":
        case.add("changed bracket", f"{left}{a}, {high}{inverse[close]}", f"{inverse[left]}{a}, {high}{inverse[close]}")
    case.add("changed digit", f"{left}{a - 1}, {high}{close}", f"{left}{a}, {b + 1}{close}")
    if a:
        case.add("sign", f"{left}{-abs(a) - 40}, {high}{close}", rf"(-\infty, {a}{']' if left == '[' else ')'}")
    case.add("removed element", str(a), high, f"({a})")
    case.add("extra element", rf"{text} \cup \{{{b + 50}\}}" if high != r"\infty" else rf"{text} \cup \{{{a - 5}\}}")
    case.add("other operator", rf"{text} \cap [{a + 500}, {a + 600}]", rf"x \notin {text}")
    case.wrong += hedges(text, str(b + 100)) if high != r"\infty" else hedges(text, f"({a - 9}, {a - 5})")
    return case


@st.composite
def sets(draw: Draw) -> Case:
    """A set of two to five integers."""
    values = draw(st.lists(st.integers(-99, 99), min_size=2, max_size=5, unique=True))
    parts = [str(value) for value in values]

    def braced(items: list[str]) -> str:
        return rf"\{{{', '.join(items)}\}}"

    text = braced(parts)
    case = Case(text, [text, braced(parts[::-1]), braced(sorted(parts)), rf"\left{text[:-2]}\right\}}"])
    other = str(max(values) + draw(st.integers(1, 50)))
    case.add("removed element", braced(parts[1:]), braced(parts[:-1]), parts[0], r"\emptyset")
    case.add("extra element", braced([*parts, other]), rf"{text} \cup {braced([other])}")
    case.add("changed digit", braced([*parts[:-1], other]))
    case.add("changed bracket", f"({', '.join(parts)})", f"[{', '.join(parts)}]")
    case.add("other operator", rf"\mathbb{{R}} \setminus {text}", rf"{text} \setminus {braced(parts[:1])}")
    case.wrong += hedges(text, braced([other]))
    return case


UNITS = {
    "cm": ("m", "kg", "cm^2"),
    "km": ("m", "hours", "km^3"),
    "hours": ("minutes", "days", "km"),
    "kg": ("g", "cm", "L"),
}


@st.composite
def units(draw: Draw) -> Case:
    """A number of units."""
    n = draw(st.integers(2, 999))
    unit = draw(st.sampled_from(sorted(UNITS)))
    text = rf"{n}\text{{ {unit}}}"
    case = Case(text, [text, rf"{n} \text{{{unit}}}", rf"{n}\,\mathrm{{{unit}}}", f"{n} {unit}"])
    case.add("other unit", *(rf"{n}\text{{ {other}}}" for other in UNITS[unit]))
    case.add("changed digit", rf"{n + 1}\text{{ {unit}}}", rf"{n}0\text{{ {unit}}}", str(n + 1))
    case.add("sign", rf"-{n}\text{{ {unit}}}")
    case.add(
        "appended unit",
        rf"{n}\text{{ {unit} and 7 {unit}}}",
        rf"{n} \text{{ {unit} per day}}",
        rf"{n}\text{{ {unit}}}^3",
    )
    case.add("dropped factor", rf"\text{{{unit}}}", rf"{n}\text{{ thousand {unit}}}", rf"{n}\pi\text{{ {unit}}}")
    case.add("another candidate", rf"{n}\text{{ {unit} or {n + 5} {unit}}}", rf"\text{{{n} or {n + 5} {unit}}}")
    case.wrong += hedges(text, rf"{n + 5}\text{{ {unit}}}")
    return case


@st.composite
def equations(draw: Draw) -> Case:
    """A line y = ax + b."""
    a, b = draw(st.integers(2, 20)), draw(st.integers(1, 20))
    text = f"y={a}x+{b}"
    case = Case(text, [text, f"y = {b}+{a}x", f"{a}x+{b}=y", f"y-{a}x={b}", f"{a}x-y+{b}=0", f"2y={2 * a}x+{2 * b}"])
    case.add("sign", f"y=-{a}x+{b}", f"y={a}x-{b}", f"-y={a}x+{b}", f"y+{a}x+{b}=0")
    case.add("changed digit", f"y={a + 1}x+{b}", f"y={a}x+{b + 1}", f"y={a}x^2+{b}", f"2y={a}x+{b}")
    case.add("dropped factor", f"y={a}x", f"y={b}", f"{a}x+{b}=0", f"y=x+{b}")
    case.add("other operator", f"y>{a}x+{b}", rf"y \ne {a}x+{b}", rf"y \le {a}x+{b}", f"y={a}x \\cdot {b}")
    case.add("false equality", f"{text}=0", f"y={b}={a}x+{b}", f"{text}={a}x+{b + 1}")
    if a != b:
        case.add("swapped components", f"y={b}x+{a}")
    case.add("swapped components", f"x={a}y+{b}")
    case.wrong += hedges(text, f"y={a}x-{b}")
    return case


@st.composite
def choices(draw: Draw) -> Case:
    """A letter of a multiple choice, with others beside it in many phrasings."""
    letter, other = draw(st.permutations("ABCDE"))[:2]
    right = [
        letter,
        f"({letter})",
        rf"\text{{{letter}}}",
        rf"\textbf{{({letter})}}",
        f"{letter}.",
        rf"\text{{({letter})}}",
    ]
    case = Case(letter, right)
    case.add("changed letter", other, f"({other})", rf"\text{{{other}}}", f"{letter}{other}", f"{other}{letter}")
    for phrase in (
        "{0} or {1}", "{1} or {0}", "{0} and {1}", "{0}, {1}", "{0}/{1}", "either {0} or {1}", "{0} (or {1})",
        "{0}, or maybe {1}", "{0} & {1}", "({0}) or ({1})", "{0} - maybe {1}", "not {0}", "not {0} but {1}",
        "{0} or possibly {1}", "({0}) 4, ({1}) 5", "{0}) 4, {1}) 5", "{0}; {1}", "both {0} and {1}", "all but {0}",
        "neither {0} nor {1}", "{1}, not {0}", "{0} if x > 0, else {1}", "{0} is wrong", "anything but {0}",
    ):  # fmt: skip
        words = phrase.format(letter, other)
        case.add("another candidate", rf"\text{{{words}}}", words.replace("&", r"\&"))
    return case


KINDS: dict[str, st.SearchStrategy[Case]] = {
    "integer": integers(),
    "fraction": fractions(),
    "decimal": decimals(),
    "root": roots(),
    "multiple of pi": pi_multiples(),
    "polynomial": polynomials(),
    "tuple": tuples(),
    "interval": intervals(),
    "set": sets(),
    "unit": units(),
    "equation": equations(),
    "choice": choices(),
}
