"""Whether an answer says what its reference says: yes, no, or not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from bandpo.rewards.mathematics.choices import chosen, letters_of
from bandpo.rewards.mathematics.equal import equal
from bandpo.rewards.mathematics.errors import TooLarge, Unreadable
from bandpo.rewards.mathematics.forms import Form
from bandpo.rewards.mathematics.readings import flattened, readings
from bandpo.rewards.mathematics.statements import FalseChain
from bandpo.rewards.mathematics.text import clean
from bandpo.rewards.mathematics.values import Budget

_REMEMBERED = 2048  # references, each of which is graded against many times
_INTEGER = re.compile(r"[+-]?\d{1,300}", re.ASCII)


class Unread(ValueError):
    """An answer or a reference that is not understood; its one argument says which: "unread", "reference", "size"."""


def readable(reference: str) -> bool:
    r"""Return whether a reference is understood as a whole.

    >>> from bandpo.rewards.mathematics.judge import readable
    >>> readable(r"\frac{1}{2}"), readable("3 or so")
    (True, False)
    """
    return bool(_expected(reference))


def same_answer(reference: str, answer: str) -> bool:
    r"""Return whether an answer says what the reference says.

    Raises:
        Unread: the answer ("unread") or the reference ("reference") is not understood, or comparing them takes more
            work than an answer may cost ("size").

    >>> from bandpo.rewards.mathematics.judge import same_answer
    >>> same_answer(r"\frac{1}{2}", "0.5"), same_answer("3", "3x"), same_answer("x > 3", r"(3, \infty)")
    (True, False, True)
    """
    if _INTEGER.fullmatch(reference) and _INTEGER.fullmatch(answer):
        return int(reference) == int(answer)
    letters = _letters(reference)
    if letters is not None:
        given = _chosen(answer)
        return given == letters
    if reference.strip() == answer.strip():
        return True
    expected = _expected(reference)
    if not expected:
        raise Unread("reference")
    given = readings(answer)
    if not given:
        raise Unread("unread")
    return _any_equal(expected, given)


def _any_equal(expected: Sequence[Form], given: Sequence[Form]) -> bool:
    budget, is_too_large, is_unread = Budget(), False, 0
    for reference in expected:
        for answer in given:
            try:
                if equal(reference, answer, budget):
                    return True
            except FalseChain:
                continue
            except TooLarge:
                is_too_large = True
            except Unreadable:
                is_unread += 1
    if is_too_large:
        raise Unread("size")
    if is_unread == len(expected) * len(given):
        raise Unread("unread")
    return False


@lru_cache(maxsize=_REMEMBERED)
def _expected(reference: str) -> tuple[Form, ...]:
    return readings(reference)


@lru_cache(maxsize=_REMEMBERED)
def _letters(reference: str) -> frozenset[str] | None:
    try:
        return letters_of(flattened(clean(reference)))
    except Unreadable:
        return None


def _chosen(answer: str) -> frozenset[str] | None:
    try:
        return chosen(flattened(clean(answer)))
    except Unreadable:
        return None
