"""The functions that answers use: their names, and which of them take angles."""

from __future__ import annotations

TRIGONOMETRIC = frozenset(["sin", "cos", "tan", "cot", "sec", "csc", "cis"])
INVERSE = frozenset(["arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc"])
HYPERBOLIC = frozenset(["sinh", "cosh", "tanh", "coth", "arcsinh", "arccosh", "arctanh"])
LOGARITHMS = frozenset(["ln", "log", "lg", "log10"])
MANY = frozenset(["gcd", "lcm", "max", "min"])
NAMED = TRIGONOMETRIC | INVERSE | HYPERBOLIC | LOGARITHMS | MANY | {"exp", "floor", "ceil", "abs", "sgn"}
ALIASES = {
    "lg": "log10", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "acot": "arccot", "tg": "tan", "ctg": "cot",
    "cosec": "csc", "arsinh": "arcsinh", "arcosh": "arccosh", "artanh": "arctanh", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "GCD": "gcd", "LCM": "lcm", "Log": "log", "Ln": "ln", "ceiling": "ceil",
}  # fmt: skip
GREEK = frozenset(
    (
        r"alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau phi chi psi omega "
        r"Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell imath jmath hbar"
    ).split()
)


def function(name: str) -> str | None:
    """Return a function's own name, None where there is no such function.

    >>> from bandpo.rewards.mathematics.functions import function
    >>> function("asin"), function("foo")
    ('arcsin', None)
    """
    known = ALIASES.get(name, name)
    return known if known in NAMED else None
