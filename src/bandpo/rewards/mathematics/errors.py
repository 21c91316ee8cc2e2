"""Why a text has no meaning here, or an expression no value."""


class Unreadable(ValueError):
    """A text that is not understood as a whole."""


class TooLarge(ArithmeticError):
    """An expression whose value would take more work than an answer may cost."""


class Spent(TooLarge):
    """A comparison that has used up its budget."""


class Undefined(ArithmeticError):
    """An expression that has no value at a point: a division by zero, the root of a negative number."""
