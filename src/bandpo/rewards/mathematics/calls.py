r"""Functions and commands with their arguments: roots, fractions, logarithms, sums, matrices."""

from __future__ import annotations

from abc import ABC, abstractmethod

from bandpo.rewards.mathematics.cursor import Cursor
from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.functions import MANY, TRIGONOMETRIC, function
from bandpo.rewards.mathematics.nodes import (
    DEGREE,
    MINUS_ONE,
    PI,
    Call,
    E,
    Node,
    Power,
    Quotient,
    Symbol,
    number,
    product,
    rewritten,
    walk,
)

_RADIANS = Quotient(PI, number(180))


class Calls(Cursor, ABC):
    """A reader of what follows the name of a function or a command.

    Attributes:
        bars: how many absolute values are open.
        indices: letters that sums around this place run over.
    """

    bars = 0
    indices: frozenset[str] = frozenset()

    @abstractmethod
    def expression(self) -> Node:
        """Read a sum."""

    @abstractmethod
    def atom(self) -> Node:
        """Read an atom."""

    @abstractmethod
    def power(self) -> Node:
        """Read a power."""

    @abstractmethod
    def exponent(self) -> Node:
        """Read an exponent."""

    @abstractmethod
    def group(self) -> Node:
        """Read a group in braces."""

    @abstractmethod
    def starts_factor(self) -> bool:
        """Return whether a factor comes next."""

    def call(self, name: str) -> Node:
        """Return a function of the arguments that follow its name."""
        if name in ("sqrt", "rootof", "cbrt", "cuberootof"):
            return self._root(name)
        name = function(name) or name
        base, power = self._decorations()
        arguments = self._arguments_of(name, power is not None)
        if power == MINUS_ONE and name in TRIGONOMETRIC:
            name, power = f"arc{name}", None
        if base is not None and name != "log":
            raise Unreadable(f"{name} with a subscript")
        if name == "exp":
            node: Node = Power(E, arguments[0])
        elif base is not None and base in (number(10), E):
            node = Call("log10" if base == number(10) else "ln", arguments)
        elif base is not None:
            node = Quotient(Call("ln", arguments), Call("ln", (base,)))
        else:
            node = Call(name, arguments)
        return node if power is None else Power(node, power)

    def _decorations(self) -> tuple[Node | None, Node | None]:
        """Read the subscript and the exponent of a function's name."""
        base = power = None
        while sign := self.take("_", "^"):
            if sign == "_" and base is None:
                base = self._argument() if not self.peek().text.isdigit() else number(self.next().text)
            elif sign == "^" and power is None:
                power = self.exponent()
            else:
                raise Unreadable(f"{sign} twice behind a function")
        return base, power

    def _is_turned(self) -> bool:
        """Return whether the exponent that comes next makes degrees or, for some, an inverse function."""
        following = [self.peek(n).text for n in (1, 2)]
        return following[0] in ("\\circ", "-") or (following[0] in ("{", "(") and following[1] in ("\\circ", "-"))

    def _arguments_of(self, name: str, is_raised: bool) -> tuple[Node, ...]:
        if self.sees("(") or (name in MANY and self.sees("\\{")):
            arguments = self.arguments()
            if self.sees("^") and (is_raised or self._is_turned()):
                raise Unreadable("an exponent behind the argument of a function that may not be one of its value")
        elif self.sees("{"):
            arguments = (self.group(),)
        else:
            arguments = (self._open_argument(),)
        if name in TRIGONOMETRIC:
            arguments = rewritten(arguments, {DEGREE: _RADIANS})
        if any(node == DEGREE for node in walk(arguments)):
            raise Unreadable(f"{name} of an angle in degrees")
        if len(arguments) != 1 and name not in MANY:
            raise Unreadable(f"{name} of {len(arguments)} arguments")
        return arguments

    def _open_argument(self) -> Node:
        r"""Read the argument of `\sin 2x`: factors up to a sign, a bracket or another function."""
        is_negative = self.take("-") is not None
        factors = [self.power()]
        while self.starts_factor() and not self._ends_argument():
            factors.append(self.power())
        if self.sees("/"):
            raise Unreadable("a slash behind a function without brackets")
        argument = product(tuple(factors))
        return product((MINUS_ONE, argument)) if is_negative else argument

    def _ends_argument(self) -> bool:
        token = self.peek()
        name = token.text.lstrip("\\")
        return token.kind == "number" or token.text in ("(", "|", "[") or function(name) is not None

    def arguments(self) -> tuple[Node, ...]:
        """Read arguments in parentheses or braces, commas between."""
        closing = ")" if self.need("(", "\\{") == "(" else "\\}"
        arguments = [self.expression()]
        while self.take(","):
            arguments.append(self.expression())
        self.need(closing)
        return tuple(arguments)

    def _root(self, name: str) -> Node:
        degree: Node = number(3) if name in ("cbrt", "cuberootof") else number(2)
        if self.take("["):
            degree = self.expression()
            self.need("]")
        if self.sees("("):
            return Call("root", (*self._single(), degree))
        if name != "sqrt" or self.tokens[self.at - 1].kind == "letters":
            token = self.peek()
            if token.kind == "letters" and len(token.text) > 1 and token.text != "pi":
                raise Unreadable("a root sign before several letters")
            return Call("root", (self.group() if self.sees("{") else self.atom(), degree))
        return Call("root", (self._argument(), degree))

    def _single(self) -> tuple[Node]:
        arguments = self.arguments()
        if len(arguments) != 1:
            raise Unreadable("a root of several arguments")
        return (arguments[0],)

    def _argument(self) -> Node:
        r"""Read an argument of \frac or \sqrt: a group, one digit, one letter or one command."""
        token = self.peek()
        if token.text == "{":
            return self.group()
        if token.kind == "number":
            if "." in token.text:
                raise Unreadable("a decimal as an argument without braces")
            self._shorten(token.text)
            return number(token.text[0])
        if token.kind == "letters" and len(token.text) > 1 and not function(token.text) and token.text != "pi":
            self._shorten(token.text)
            return {"e": E}.get(token.text[0]) or Symbol(token.text[0])
        if token.text == "(":
            raise Unreadable("a parenthesis as an argument without braces")
        return self.atom()

    def _shorten(self, text: str) -> None:
        """Go past the first character of the next token."""
        if len(text) == 1:
            self.at += 1
        else:
            token = self.tokens[self.at]
            self.tokens[self.at] = type(token)(token.kind, text[1:])
