r"""Commands with their arguments: fractions, sums, matrices, letters under a sign, variables with subscripts."""

from __future__ import annotations

from bandpo.rewards.mathematics.calls import Calls
from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.functions import GREEK, function
from bandpo.rewards.mathematics.nodes import (
    INFINITY,
    PI,
    Call,
    Dots,
    Iterated,
    Matrix,
    Node,
    Quotient,
    Symbol,
    number,
    product,
)

_ENVIRONMENTS = frozenset(["pmatrix", "bmatrix", "matrix", "array", "vmatrix", "smallmatrix", "Bmatrix", "Vmatrix"])


class Commands(Calls):
    """A reader of what follows a command."""

    def command(self, name: str) -> Node:
        """Return the node of a command that stands for a value."""
        simple = {"pi": PI, "infty": INFINITY, "ldots": Dots()}.get(name)
        if simple is not None:
            return simple
        if name in GREEK:
            return self.symbol(name)
        if name == "frac":
            return Quotient(self._argument(), self._argument())
        if name == "binom":
            return Call("binomial", (self._argument(), self._argument()))
        if name in ("lfloor", "lceil"):
            node = self.expression()
            self.need("\\r" + name[1:])
            return Call({"lfloor": "floor", "lceil": "ceil"}[name], (node,))
        if name in ("sqrt", "rootof", "cuberootof") or function(name):
            return self.call(name)
        if name in ("overline", "bar", "angle", "triangle", "overrightarrow", "widehat"):
            return self._drawn(name)
        if name in ("sum", "prod"):
            return self._iterated(name)
        if name == "begin":
            return self._matrix()
        raise Unreadable(f"\\{name} has no meaning here")

    def _drawn(self, name: str) -> Node:
        """Return the symbol of an angle, a triangle, a segment or a conjugate: letters under a sign."""
        is_braced = self.take("{")
        letters = ""
        while self.peek().kind in ("letters", "word") and (is_braced or not letters):
            letters += self.next().text
        if is_braced:
            self.need("}")
        if not letters:
            raise Unreadable(f"\\{name} over something that is no letter")
        if name == "overline" and len(letters) > 1 and letters.isupper():
            return product(tuple(Symbol(letter) for letter in letters))
        return Symbol(f"{name} {letters}")

    def _iterated(self, name: str) -> Node:
        r"""Read \sum_{k=1}^{n} and the term behind it."""
        self.need("_")
        self.need("{")
        index = self.next()
        self.need("=")
        first = self.expression()
        self.need("}")
        self.need("^")
        last = self.exponent()
        if index.kind != "letters" or len(index.text) != 1:
            raise Unreadable(f"{index.text!r} as an index")
        outside, self.indices = self.indices, self.indices | {index.text}
        factors = [self.power()]
        while self.starts_factor() or self.sees("\\cdot", "\\times"):
            self.take("\\cdot", "\\times")
            factors.append(self.power())
        self.indices = outside
        return Iterated(name, index.text, first, last, product(tuple(factors)))

    def _matrix(self) -> Node:
        name = self.environment()
        if name not in _ENVIRONMENTS:
            raise Unreadable(f"the environment {name}")
        rows: list[list[Node]] = [[]]
        while True:
            rows[-1].append(self.expression())
            if self.take("&"):
                continue
            if self.take("\\newline") and not self.sees("\\end"):
                rows.append([])
                continue
            self.ends(name)
            break
        if len({len(row) for row in rows}) != 1:
            raise Unreadable("a matrix with rows of different lengths")
        matrix = Matrix(tuple(tuple(row) for row in rows))
        return Call("determinant", (matrix,)) if name == "vmatrix" else matrix

    def environment(self) -> str:
        r"""Read the name of an environment behind \begin, and the columns of an array."""
        self.need("{")
        name = self.next().text
        self.need("}")
        if name == "array":
            self.need("{")
            while not self.take("}"):
                if self.next().kind == "end":
                    raise Unreadable("an array without columns")
        return name

    def ends(self, name: str) -> None:
        r"""Go past \end{name}."""
        self.need("\\end")
        self.need("{")
        if self.next().text != name:
            raise Unreadable(f"\\begin{{{name}}} that ends otherwise")
        self.need("}")

    def chosen(self) -> Node:
        r"""Read `_{10}C_3` or `^{10}C_3`, the first sign of which was just read, and P likewise."""
        among = self._count()
        letter = self.next().text
        self.need("_")
        taken = self._count()
        ways = Call("binomial", (among, taken))
        if letter not in ("C", "P"):
            raise Unreadable(f"{letter!r} behind a raised or lowered number")
        return ways if letter == "C" else product((ways, Call("factorial", (taken,))))

    def _count(self) -> Node:
        if self.sees("{"):
            return self.group()
        token = self.next()
        if token.kind != "number":
            raise Unreadable(f"{token.text or 'the end'!r} where a number is raised or lowered")
        return number(token.text)

    def absolute(self) -> Node:
        """Read what stands between bars, the first of which was just read."""
        self.bars += 1
        node = self.expression()
        self.bars -= 1
        self.need("|")
        return Call("abs", (node,))

    def symbol(self, name: str) -> Symbol:
        """Return a variable with the subscript and the primes that follow it."""
        if self.take("_"):
            name += "_" + self._subscript()
        while self.sees("'") and not self.peek().is_spaced:
            name += self.next().text
        return Symbol(name)

    def _subscript(self) -> str:
        if not self.take("{"):
            token = self.next()
            if token.kind not in ("number", "letters", "word"):
                raise Unreadable(f"{token.text or 'nothing'!r} as a subscript")
            return token.text
        written = ""
        while not self.sees("}"):
            token = self.next()
            if token.kind == "end" or token.text in ("{", "\\frac"):
                raise Unreadable("a subscript that is no name")
            written += token.text
        self.next()
        return written
