"""Problems that are the same: exactly after normalisation, or nearly by MinHash."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

PERMUTATIONS = 128
SHINGLE = 3

_COMMANDS = re.compile(r"\\(?:left|right|displaystyle|,|;|:|!|quad|qquad|mathrm|text|textbf)(?![a-zA-Z])")
_REWRITTEN = ((r"\dfrac", r"\frac"), (r"\tfrac", r"\frac"), (r"\leq", r"\le"), (r"\geq", r"\ge"), (r"\cdot", "*"))
_WORD = re.compile(r"\\[a-z]+|[^\W_]+|[-+*/=<>^]")


@dataclass(frozen=True)
class Duplicate:
    """A row that repeats another.

    Attributes:
        row: index of the row.
        of: index of the row it repeats, among the others where they are another data set.
        similarity: 1.0 for the same text, else the Jaccard similarity of the two.
    """

    row: int
    of: int
    similarity: float


def normal_form(problem: str) -> str:
    r"""Return a problem without what typesetting changes: spacing, dollar signs, braces, case, final punctuation.

    >>> from bandpo.data.duplicates import normal_form
    >>> normal_form(r"Find  $\dfrac{1}{2}+ x$."), normal_form("find $\\frac{1}{2}+x$")
    ('find\\frac12+x', 'find\\frac12+x')
    """
    text = _COMMANDS.sub("", unicodedata.normalize("NFKC", problem))
    for old, new in _REWRITTEN:
        text = text.replace(old, new)
    return re.sub(r"[\s${}]+", "", text).casefold().rstrip(".?!:")


def shingles(problem: str) -> set[str]:
    """Return the runs of three words, numbers or signs that a problem consists of.

    >>> from bandpo.data.duplicates import shingles
    >>> sorted(shingles("What is 1 + 2?"))
    ['1 + 2', 'is 1 +', 'what is 1']
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", problem).casefold())
    return {" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))}


def duplicates(
    problems: Sequence[str],
    among: Sequence[str] | None = None,
    *,
    near: float = 0.7,
    answers: Sequence[Hashable] | None = None,
) -> list[Duplicate]:
    """Return the problems that repeat an earlier one, or one of `among`.

    Near duplicates are found by locality-sensitive hashing (datasketch) and then compared exactly: the similarity
    is that of their sets of `shingles`. Long problems that differ in a number only are alike by this measure, so
    with `answers` a near duplicate must have the same answer too.

    Args:
        problems: texts to look through, in order.
        among: texts to look for instead of earlier ones of `problems`.
        near: least similarity of a near duplicate; 1.0 keeps to exact ones.
        answers: of `problems`, which near duplicates must share; not together with `among`.

    Raises:
        ValueError: `near` is not in (0, 1], or both `among` and `answers`.

    >>> from bandpo.data.duplicates import duplicates
    >>> duplicates(["Find $x$.", "Solve for y.", "find  x"])
    [Duplicate(row=2, of=0, similarity=1.0)]
    """
    if not 0 < near <= 1:
        raise ValueError(f"near={near}: expected a similarity above 0 and at most 1")
    if among is not None and answers is not None:
        raise ValueError("among and answers: expected one of them, since answers are those of `problems`")
    index = _Index(near)
    repeats = []
    for number, text in enumerate(among or ()):
        index.add(number, text)
    for row, text in enumerate(problems):
        best = index.best(text, (lambda n, row=row: answers[n] == answers[row]) if answers else None)
        if best is not None:
            repeats.append(Duplicate(row, *best))
        elif among is None:
            index.add(row, text)
    return repeats


class _Index:
    """Texts seen so far, by normal form and by MinHash."""

    def __init__(self, near: float):
        self.near = near
        self.exact: dict[str, int] = {}
        self.sets: dict[int, set[str]] = {}
        self.hashes: Any = None
        if near < 1:
            from datasketch import MinHashLSH

            # Candidates are compared exactly, so the hashes may be generous and must not miss.
            self.hashes = MinHashLSH(threshold=max(0.05, near - 0.15), num_perm=PERMUTATIONS)

    def add(self, number: int, text: str) -> None:
        self.exact.setdefault(normal_form(text), number)
        if self.hashes is not None:
            self.sets[number] = shingles(text)
            self.hashes.insert(number, _minhash(self.sets[number]))

    def best(self, text: str, allowed: Callable[[int], bool] | None = None) -> tuple[int, float] | None:
        """Return the text that this one repeats, and how similar it is; a near one only where it is allowed."""
        same = self.exact.get(normal_form(text))
        if same is not None:
            return same, 1.0
        if self.hashes is None:
            return None
        own = shingles(text)
        near = [
            (_jaccard(own, self.sets[n]), -n) for n in self.hashes.query(_minhash(own)) if not allowed or allowed(n)
        ]
        similarity, number = max(near, default=(0.0, 0))
        return (-number, round(similarity, 3)) if similarity >= self.near else None


def _jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def _minhash(parts: set[str]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
    sketch.update_batch([part.encode() for part in parts])
    return sketch
