"""Atoms of expressions: numbers, brackets, and what a run of letters stands for."""

from __future__ import annotations

from bandpo.rewards.mathematics.commands import Commands
from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.functions import GREEK, function
from bandpo.rewards.mathematics.nodes import IMAGINARY, INFINITY, PI, Applied, Call, E, Node, Quotient, Symbol
from bandpo.rewards.mathematics.numerals import Numerals
from bandpo.rewards.mathematics.units import unit_of
from bandpo.rewards.mathematics.words import COUNTED

_APPLIED = frozenset("fghFGPQ")
_EVENT_SIGNS = frozenset(["\\cap", "\\cup", "|", "\\lor", "\\land", "=", "<", ">", "\\le", "\\ge"])
_LONGEST_EVENT = 12
_NAMED: dict[str, Node] = {"pi": PI, "Pi": PI, "infinity": INFINITY, "oo": INFINITY, "inf": INFINITY}
_NEVER_FACTORS = frozenset(
    (
        r"and or for if to am pm mod yes no odd all not one two six ten the is per sq in at of on by as so we it an a "
        r"be any are has was but nor yet via where when with base than"
    ).split()
) - {"a"}


class Atoms(Commands, Numerals):
    """A reader of atoms."""

    def group(self) -> Node:
        r"""Read `{...}`, with `\over` or `\choose` in it."""
        self.need("{")
        node = self.expression()
        if self.take("\\over"):
            node = Quotient(node, self.expression())
        elif self.take("\\choose"):
            node = Call("binomial", (node, self.expression()))
        self.need("}")
        return node

    def atom(self) -> Node:
        """Read a number, a letter, a bracket or a command with its arguments."""
        token = self.next()
        if token.kind == "number":
            return self.numeral(token.text)
        if token.kind == "vector":
            return Symbol(f"vector {token.text}")
        if token.kind in ("letters", "word"):
            return self._letters(token.text, token.kind)
        if token.text in ("(", "["):
            node = self.expression()
            self.need(")" if token.text == "(" else "]")
            return node
        if token.text == "{":
            self.at -= 1
            return self.group()
        if token.text == "|":
            return self.absolute()
        if token.text in ("_", "^"):
            return self.chosen()
        if token.kind == "command":
            return self.command(token.text[1:])
        raise Unreadable(f"{token.text or 'the end'!r}: expected an expression")

    def _letters(self, letters: str, kind: str) -> Node:
        """Return what a run of letters stands for, its first letter if it is a product."""
        named = _NAMED.get(letters)
        if named is not None:
            return named
        if letters in ("sqrt", "cbrt") or function(letters):
            return self.call(letters)
        for name in ("sin", "cos", "tan", "log", "ln"):
            if letters.startswith(name) and len(letters) == len(name) + 1:
                self._put_back(letters[len(name) :])
                return self.call(name)
        if letters in GREEK:
            return self.symbol(letters)
        if not self.is_factor(letters, kind):
            raise Unreadable(f"the word {letters!r} among mathematics")
        if len(letters) > 1:
            self._put_back(letters[1:])
        return self._letter(letters[0])

    def _put_back(self, letters: str) -> None:
        self.at -= 1
        token = self.tokens[self.at]
        self.tokens[self.at] = type(token)(token.kind, letters)

    def _letter(self, letter: str) -> Node:
        constant = {"e": E, "i": IMAGINARY}.get(letter) if letter not in self.indices else None
        if constant is not None and not self.sees("_"):
            return constant
        if letter in _APPLIED or self._is_defined():
            applied = self._applied(letter)
            if applied is not None:
                return applied
        if letter == "C" and self.sees("(") and any(token.text == "," for token in self.inside()[0]):
            return Call("binomial", self.arguments())
        return self.symbol(letter)

    def _is_defined(self) -> bool:
        """Return whether `(x) =` comes next, so that the letter before it names a function."""
        if not self.sees("("):
            return False
        direct, _ = self.inside()
        is_plain = all(token.text == "," or (token.kind == "letters" and len(token.text) == 1) for token in direct)
        return is_plain and self.peek(len(direct) + 2).text == "="

    def _applied(self, letter: str) -> Applied | None:
        """Read `(x)` behind the name of a function, with primes or the exponent of an inverse between."""
        start, name = self.at, letter
        while self.take("'"):
            name += "'"
        if [self.peek(n).text for n in range(5)] == ["^", "{", "-", "1", "}"]:
            self.at, name = self.at + 5, name + "^-1"
        if self.sees("("):
            return Applied(name, self._event() or self.arguments())
        self.at = start
        return None

    def _event(self) -> tuple[Node, ...] | None:
        r"""Read an event such as (A \cap B) or (X > 3), which stands for itself; None for ordinary arguments."""
        direct, closing = self.inside()
        if closing.text != ")" or not any(token.text in _EVENT_SIGNS for token in direct):
            return None
        if len(direct) > _LONGEST_EVENT or any(token.text in ("(", "{", "\\{") for token in direct):
            raise Unreadable("a long event")
        self.at += len(direct) + 2
        return (Symbol(f"event {' '.join(token.text for token in direct)}"),)

    def is_factor(self, letters: str, kind: str) -> bool:
        if kind == "word":
            return len(letters) == 1 and letters.isascii() and letters not in ("a", "A", "I")
        if function(letters) or letters in ("pi", "sqrt", "cbrt", "infinity", "oo") or letters in GREEK:
            return True
        is_word = letters.lower() in _NEVER_FACTORS or letters in COUNTED or (len(letters) > 1 and unit_of(letters))
        return len(letters) <= 3 and not is_word
