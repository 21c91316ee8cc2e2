"""What the tests of this folder ask: is an answer paid, is a text read; and rows that an adversary found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bandpo.rewards.mathematics.judge import Unread, same_answer
from bandpo.rewards.mathematics.structures import Structures
from bandpo.rewards.mathematics.text import clean
from bandpo.rewards.mathematics.tokens import tokenise


def is_paid(reference: str, answer: str) -> bool:
    """Return whether an answer is paid; one that is not understood is not."""
    try:
        return same_answer(reference, answer)
    except Unread:
        return False


def parsed(text: str) -> Any:
    """Return the form of a text, without labels and other readings.

    Raises:
        Unreadable: it has none.
    """
    return Structures(tokenise(clean(text))).answer()


def table(*rows: Any, open: Sequence[Any] = (), reason: str = "") -> Any:
    """Return parameters: rows that must hold, and rows of a finding, some of which do not hold yet."""
    mark = pytest.mark.xfail(strict=True, reason=reason)
    return [*rows, *(pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=mark) for row in open)]
