"""Random expressions as trees, written in three notations and worked out by mpmath: the oracle of the tests here.

A tree is a tuple: ("number", Fraction), ("variable", name), ("pi",) or an operation with its operands.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from random import Random

import mpmath

Tree = tuple
UNARY = ("negative", "root", "sin", "cos", "exp", "abs", "square", "cube")
BINARY = ("plus", "minus", "times", "divided")
_RAISED = {"square": (2, "²"), "cube": (3, "³")}


def random_tree(random: Random, depth: int, variables: str = "") -> Tree:
    """Return a tree of at most that depth."""
    if depth == 0 or random.random() < 0.15:
        kind = random.random()
        if variables and kind < 0.5:
            return ("variable", random.choice(variables))
        if kind < 0.6:
            return ("pi",)
        return ("number", Fraction(random.randint(1, 12)))
    if random.random() < 0.4:
        return (random.choice(UNARY), random_tree(random, depth - 1, variables))
    return (
        random.choice(BINARY),
        random_tree(random, depth - 1, variables),
        random_tree(random, depth - 1, variables),
    )


def value(tree: Tree, point: Mapping[str, mpmath.mpf]) -> mpmath.mpf:
    """Return the real value of a tree to the precision that mpmath is set to.

    Raises:
        ValueError, ZeroDivisionError: there is none, or it is beyond 10^60.
    """
    kind, *operands = tree
    if kind == "number":
        return mpmath.mpf(operands[0].numerator) / operands[0].denominator
    if kind == "variable":
        return point[operands[0]]
    if kind == "pi":
        return +mpmath.pi
    found = _worked_out(kind, [value(operand, point) for operand in operands])
    if not abs(found) < mpmath.mpf(10) ** 60:
        raise ValueError("too large to be told from its neighbours")
    return found


def _worked_out(kind: str, operands: list[mpmath.mpf]) -> mpmath.mpf:
    first, last = operands[0], operands[-1]
    if kind == "root" and first < 0:
        raise ValueError("the root of a negative number")
    if kind == "exp" and abs(first) > 100:
        raise ValueError("a large exponent")
    if kind == "divided" and abs(last) < mpmath.mpf(10) ** -30:
        raise ZeroDivisionError
    return {
        "plus": lambda: first + last,
        "minus": lambda: first - last,
        "times": lambda: first * last,
        "divided": lambda: first / last,
        "negative": lambda: -first,
        "root": lambda: mpmath.sqrt(first),
        "sin": lambda: mpmath.sin(first),
        "cos": lambda: mpmath.cos(first),
        "exp": lambda: mpmath.exp(first),
        "abs": lambda: abs(first),
        "square": lambda: first**2,
        "cube": lambda: first**3,
    }[kind]()


def latex(tree: Tree) -> str:
    """Return a tree as a model writes it in a box."""
    kind, *operands = tree
    if kind in ("number", "variable", "pi"):
        return r"\pi" if kind == "pi" else str(operands[0])
    parts = [latex(operand) for operand in operands]
    inner = [rf"\left({part}\right)" if _is_sum(o) else part for part, o in zip(parts, operands, strict=True)]
    return {
        "plus": lambda: f"{parts[0]} + {inner[1]}",
        "minus": lambda: f"{parts[0]} - {inner[1]}",
        "times": lambda: rf"{inner[0]} \cdot {inner[1]}",
        "divided": lambda: rf"\frac{{{parts[0]}}}{{{parts[1]}}}",
        "negative": lambda: f"-{inner[0]}",
        "root": lambda: rf"\sqrt{{{parts[0]}}}",
        "sin": lambda: rf"\sin({parts[0]})",
        "cos": lambda: rf"\cos\left({parts[0]}\right)",
        "exp": lambda: f"e^{{{parts[0]}}}",
        "abs": lambda: rf"\lvert {parts[0]}\rvert",
        "square": lambda: rf"\left({parts[0]}\right)^2",
        "cube": lambda: rf"({parts[0]})^{{3}}",
    }[kind]()


def plain(tree: Tree) -> str:
    """Return a tree as it is typed into a computer."""
    return _typed(tree, {"times": "*", "root": "sqrt", "pi": "pi", "minus": "-"}, raised=False)


def unicode(tree: Tree) -> str:
    """Return a tree with the signs of Unicode."""
    return _typed(tree, {"times": "·", "root": "√", "pi": "π", "minus": "−"}, raised=True)


def _typed(tree: Tree, signs: Mapping[str, str], *, raised: bool) -> str:
    kind, *operands = tree
    if kind in ("number", "variable", "pi"):
        return signs["pi"] if kind == "pi" else str(operands[0])
    parts = [_typed(operand, signs, raised=raised) for operand in operands]
    if kind in BINARY:
        sign = {"plus": "+", "divided": "/"}.get(kind) or signs[kind]
        left, right = (
            part if operand[0] == "number" else f"({part})" for part, operand in zip(parts, operands, strict=True)
        )
        return f"{left}{sign}{right}"
    if kind in _RAISED:
        exponent, mark = _RAISED[kind]
        return f"({parts[0]}){mark if raised else f'^{exponent}'}"
    if kind == "negative":
        return f"{signs['minus']}({parts[0]})"
    if kind == "exp" and raised:
        return f"e^({parts[0]})"
    return f"{signs.get(kind, kind)}({parts[0]})"


def _is_sum(tree: Tree) -> bool:
    return tree[0] in ("plus", "minus", "negative")


def wrong_edit(random: Random, tree: Tree) -> Tree:
    """Return a tree with one place of it changed: another sign, operation, number or constant, a factor lost."""
    kind, *operands = tree
    if operands and kind not in ("number", "variable") and random.random() < 0.6:
        place = random.randrange(len(operands))
        operands[place] = wrong_edit(random, operands[place])
        return (kind, *operands)
    if kind == "number":
        return ("number", operands[0] + random.choice((-1, 1, 10)))
    if kind == "variable":
        return random.choice([("negative", tree), ("plus", tree, ("number", Fraction(1))), ("square", tree)])
    if kind == "pi":
        return random.choice(
            [("number", Fraction(3)), ("number", Fraction(22, 7)), ("times", ("number", Fraction(2)), tree)]
        )
    if kind in BINARY:
        others = [(other, *operands) for other in BINARY if other != kind]
        return random.choice([*others, (kind, *reversed(operands)), operands[0], operands[1]])
    return random.choice([operands[0], ("negative", tree), (random.choice(UNARY), operands[0])])


def are_equal(left: Tree, right: Tree, points: list[Mapping[str, mpmath.mpf]]) -> bool | None:
    """Return whether two trees have the same values, to 40 digits, wherever both have one; None without three such."""
    agreed = 0
    with mpmath.workdps(140):
        for point in points:
            try:
                values = value(left, point), value(right, point)
            except (ValueError, ZeroDivisionError):
                continue
            size = max(1, *map(abs, values))
            if abs(values[0] - values[1]) > size * mpmath.mpf(10) ** -40:
                return False
            agreed += 1
    return True if agreed >= min(3, len(points)) else None


def random_points(random: Random, variables: str) -> list[dict[str, mpmath.mpf]]:
    """Return points near and far, of either sign; one empty point where there are no variables."""
    if not variables:
        return [{}]
    scales = (1, 1, 3, 3, 10, 10, 40, 40, 40, 200, 200, 200)
    return [
        {name: mpmath.mpf(random.randint(-997 * scale, 997 * scale)) / 499 for name in variables} for scale in scales
    ]
