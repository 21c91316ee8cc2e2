"""A place in a list of tokens, and a limit on how deep what is read there may nest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bandpo.rewards.mathematics.errors import Unreadable
from bandpo.rewards.mathematics.tokens import END, Token

DEEPEST = 24
_STEPS = {"(": 1, "[": 1, "{": 1, "\\{": 1, "\\langle": 1, ")": -1, "]": -1, "}": -1, "\\}": -1, "\\rangle": -1}


class Cursor:
    """A reader of tokens one after another.

    Attributes:
        tokens: all of them.
        at: index of the next one.
    """

    def __init__(self, tokens: Sequence[Token]):
        self.tokens, self.at, self._depth = list(tokens), 0, 0

    def peek(self, ahead: int = 0) -> Token:
        """Return the token that many places ahead, an end token behind the last."""
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else END

    def next(self) -> Token:
        """Return the next token and go on."""
        token = self.peek()
        self.at += 1
        return token

    def sees(self, *texts: str) -> bool:
        """Return whether the next token is one of these signs or commands."""
        token = self.peek()
        return token.text in texts and token.kind in ("sign", "command")

    def take(self, *texts: str) -> str | None:
        """Go past the next token if it is one of these signs or commands, and return it."""
        return self.next().text if self.sees(*texts) else None

    def need(self, *texts: str) -> str:
        """Go past the next token, which must be one of these signs or commands.

        Raises:
            Unreadable: it is another one.
        """
        taken = self.take(*texts)
        if taken is None:
            raise Unreadable(f"{self.peek().text or 'the end'!r}: expected {' or '.join(texts)}")
        return taken

    def sees_word(self, *words: str) -> bool:
        """Return whether the next token is one of these words, in prose or in a formula."""
        token = self.peek()
        return token.kind in ("word", "letters") and token.text.lower() in words

    def take_word(self, *words: str) -> str | None:
        """Go past the next token if it is one of these words, and return it in lower case."""
        return self.next().text.lower() if self.sees_word(*words) else None

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Count a level of nesting while a part is read.

        Raises:
            Unreadable: more than `DEEPEST` levels.
        """
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST} levels")
        try:
            yield
        finally:
            self._depth -= 1

    def inside(self) -> tuple[list[Token], Token]:
        """Return the tokens directly inside the bracket that comes next, and the one that closes it.

        Any bracket closes any other, as in a half-open interval; one turned outwards does where nothing else fits.

        Raises:
            Unreadable: it is never closed.
        """
        found = self._inside(_STEPS) or self._inside(_STEPS | {"[": -1})
        if found is None:
            raise Unreadable(f"{self.peek().text!r} is never closed")
        return found

    def _inside(self, steps: Mapping[str, int]) -> tuple[list[Token], Token] | None:
        depth, direct = 1, []
        for token in self.tokens[self.at + 1 :]:
            depth += steps.get(token.text, 0) if token.kind in ("sign", "command") else 0
            if depth == 0:
                return direct, token
            if depth == 1:
                direct.append(token)
        return None
