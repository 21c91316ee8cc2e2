r"""A cleaned answer as tokens: numbers, commands, runs of letters, words of prose, signs.

The vocabulary is closed: a character that is none of these makes the answer unreadable.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bandpo.rewards.mathematics.errors import Unreadable

_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<command>\\(?:[a-zA-Z]+|[^a-zA-Z]))|(?P<letters>[A-Za-z]+)"
    r"|(?P<sign>\*\*|<=|>=|!=|==|=<|=>|[-+*/^_=<>!(){}\[\],;:|&'\"%?.#])|(?P<word>平方|立方|[\u4e00-\u9fff](?:(?!平方|立方)[\u4e00-\u9fff])*)|(?P<space>\s+)"
)
_BARE_ARGUMENT = re.compile(r"\\[a-zA-Z]+|[A-Za-z]+|\d")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_WRAPPERS = frozenset(
    (
        r"\text \textbf \textit \textrm \textnormal \textsf \texttt \mbox \hbox \mathrm \operatorname \mathbf \mathit "
        r"\mathsf \mathcal \mathscr \mathfrak \mathnormal \rm \bf \it \boldsymbol \bm \vec \hat \overrightarrow \emph "
        r"\underline \boxed \fbox \bold \pmb \uppercase \textup"
    ).split()
)
_VECTORS = frozenset([r"\vec", r"\hat", r"\mathbf", r"\boldsymbol", r"\bm", r"\overrightarrow", r"\bold", r"\pmb"])
_UPRIGHT = frozenset([r"\mathrm", r"\rm", r"\operatorname", r"\text", r"\textrm", r"\textnormal"])
_PROSE_WRAPPERS = frozenset((r"\text \textrm \textnormal \mbox \hbox \textbf \textit \textsf \emph \textup").split())
_FUNCTIONS_UPRIGHT = frozenset(
    (
        "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh ln log lg exp gcd lcm max min cis arg sgn "
        "det Re Im"
    ).split()
)


@dataclass(frozen=True)
class Token:
    """One token.

    Attributes:
        kind: "number", "command", "letters" (of a formula), "word" (of prose), "sign", "vector" or "end".
        text: as it is written; of a vector its letters.
        is_spaced: whether a blank stands before it.
    """

    kind: str
    text: str
    is_spaced: bool = False


END = Token("end", "")


def tokenise(text: str) -> list[Token]:
    r"""Return the tokens of a cleaned text; what stands in \text{} and its like becomes words.

    Raises:
        Unreadable: a character outside the vocabulary, a brace that is never closed.

    >>> from bandpo.rewards.mathematics.tokens import tokenise
    >>> [(token.kind, token.text) for token in tokenise(r"2\sqrt3\text{ cm}")]
    [('number', '2'), ('command', '\\sqrt'), ('number', '3'), ('word', 'cm')]
    """
    found: list[Token] = []
    at, is_spaced = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"{text[at]!r} has no meaning here")
        kind, written, at = str(match.lastgroup), match.group(), match.end()
        if kind == "space":
            is_spaced = True
            continue
        if written in _WRAPPERS:
            inside, at = _argument(text, at, written)
            made = _unwrapped(written, inside)
            found += [Token(t.kind, t.text, t.is_spaced or (n == 0 and is_spaced)) for n, t in enumerate(made)]
        else:
            found.append(Token(kind, written, is_spaced))
        is_spaced = False
    return found


def _argument(text: str, at: int, command: str) -> tuple[str, int]:
    """Return what stands in braces behind a command, or one character without them, and where it ends."""
    while at < len(text) and text[at] == " ":
        at += 1
    if at >= len(text):
        raise Unreadable(f"nothing behind {command}")
    if text[at] != "{":
        bare = _BARE_ARGUMENT.match(text, at)
        return (bare.group(), bare.end()) if bare else ("", at)
    depth = 0
    for match in _BRACE.finditer(text, at):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[at + 1 : match.start()], match.end()
    raise Unreadable(f"the brace behind {command} is never closed")


def _unwrapped(command: str, inside: str) -> list[Token]:
    bare = inside.strip()
    if command in _VECTORS and re.fullmatch(r"[A-Za-z]{1,2}|\\[ij]math", bare):
        return [Token("vector", bare.replace("math", "").strip("\\"))]
    if bare in _FUNCTIONS_UPRIGHT and not (bare in ("min", "max") and command != r"\operatorname"):
        return [Token("letters", bare)]
    if command in _UPRIGHT and command not in _PROSE_WRAPPERS and bare in ("e", "i", "d"):
        return [Token("letters", bare)]
    if command in _PROSE_WRAPPERS or (command in _UPRIGHT and not re.search(r"[\d\\^_=+<>|()\[\]]", bare)):
        return _prose(inside)
    if re.fullmatch(r"[A-Za-z]{2,}(?: [A-Za-z]+)*", bare) and command != r"\mathit":
        return _prose(inside)
    return tokenise(inside)


def _prose(inside: str) -> list[Token]:
    """Return the tokens of a text: its letters are words, everything else is mathematics."""
    inside = re.sub(r"(?<![A-Za-z])([ap])\.\s?m\b\.?", r"\1m", inside, flags=re.IGNORECASE)
    return [Token("word", t.text, t.is_spaced) if t.kind == "letters" else t for t in tokenise(inside)]
