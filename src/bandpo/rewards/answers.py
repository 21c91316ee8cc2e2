"""The final answer of a completion: linear string work, safe on a megabyte of anything.

What counts is the end: the last `\\boxed{...}` or the last line after "Answer:", whichever comes later. Only without
either does the grader look at the last words themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 1000
TAIL = 2000
_MOST_BOXES = 8

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s${}\\.,;]+")
_ANSWER_LINE = re.compile(r"\banswer\b(?:\s+is)?\s*(?:\*\*|__)?\s*:\s*([^\n]+)", re.IGNORECASE)
_JOINS_BOXES = re.compile(r"[\s$,;.]*(?:\\text\{)?\s*(?:and|or|,|;)?\s*\}?[\s$]*(?:[a-zA-Z]\w?\s*=)?[\s$]*")


@dataclass(frozen=True)
class Answer:
    """What a completion gives as its answer.

    Attributes:
        text: the answer itself, without box or label; the last words where there is neither.
        is_marked: whether it stood in a box or after "Answer:".
        is_boxed: whether it stood in a box.
    """

    text: str
    is_marked: bool
    is_boxed: bool

    def as_latex(self) -> str:
        """The answer as math-verify is to read it."""
        if self.is_boxed:
            return rf"\boxed{{{self.text}}}"
        return f"Answer: {self.text}" if self.is_marked else self.text


def final_answer(text: str) -> Answer:
    r"""The answer that a completion ends with.

    Boxes with nothing but "and", "or" or a comma between them are one answer of several parts, so that naming every
    candidate does not pay.

    >>> from bandpo.rewards.answers import final_answer
    >>> final_answer(r"So \boxed{3}, no: \boxed{\frac{1}{2}}.").text
    '\\frac{1}{2}'
    >>> final_answer("First 7.\nAnswer: 12").text
    '12'
    >>> final_answer(r"$x = \boxed{1}$ or $x = \boxed{2}$").text
    '1, 2'
    """
    tail_start = max(0, len(text) - TAIL)
    lines = list(_ANSWER_LINE.finditer(text, tail_start))
    at = max(text.rfind(r"\boxed"), text.rfind(r"\fbox"))
    if lines and lines[-1].start(1) > at:
        return Answer(lines[-1].group(1).strip(" *_."), True, False)
    boxed = _boxed(text, at) if at >= 0 else None
    return Answer(text[tail_start:].strip(), False, False) if boxed is None else Answer(boxed, True, True)


def _boxed(text: str, at: int) -> str | None:
    """What stands in the box at `at` and those joined to it from before; None where its brace is never closed."""
    last = _box_content(text, at)
    if last is None:
        return None
    parts = [last[0]]
    while len(parts) < _MOST_BOXES:
        before = max(text.rfind(r"\boxed", 0, at), text.rfind(r"\fbox", 0, at))
        content = _box_content(text, before) if before >= 0 else None
        if content is None or content[1] > at or at - content[1] > 40:
            break
        if not _JOINS_BOXES.fullmatch(text, content[1], at):
            break
        parts.insert(0, content[0])
        at = before
    return ", ".join(parts)


def _box_content(text: str, at: int) -> tuple[str, int] | None:
    """Content and end of the box at `at`, None where its brace is never closed."""
    start = _BOX.match(text, at)
    if start is None:
        return None
    if not text.startswith("{", start.end()):
        bare = _BARE.match(text, start.end())
        return (bare.group(), bare.end()) if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, start.end()):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[start.end() + 1 : brace.start()].strip(), brace.end()
    return None
