"""The final answer of a completion and its plain form: linear string work, safe on a megabyte of anything.

What counts is the end: the last `\\boxed{...}` or the last line after "Answer:", whichever comes later. Only without
either does the grader look at the last words themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 1000
TAIL = 2000

_BOXES = (r"\boxed", r"\fbox")
_ANSWER_LINE = re.compile(r"\banswer\b(?:\s+is)?\s*(?:\*\*|__)?\s*:\s*([^\n]+)", re.IGNORECASE)
_WRAPPERS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|boxed|fbox)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"\\[,;:! ]|\\q?quad\b|~|\s+")
_INTEGER = re.compile(r"[+-]?\d{1,40}")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?!\d)")


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

    >>> from bandpo.rewards.answers import final_answer
    >>> final_answer(r"So \boxed{3}, no: \boxed{\frac{1}{2}}.").text
    '\\frac{1}{2}'
    >>> final_answer("First 7.\nAnswer: 12").text
    '12'
    """
    at = max(text.rfind(box) for box in _BOXES)
    tail_start = max(0, len(text) - TAIL)
    lines = list(_ANSWER_LINE.finditer(text, tail_start))
    if lines and lines[-1].start(1) > at:
        return Answer(lines[-1].group(1).strip().strip("*").strip(), True, False)
    if at >= 0:
        content = _box_content(text, at)
        if content is not None:
            return Answer(content.strip(), True, True)
    return Answer(text[tail_start:].strip(), False, False)


def _box_content(text: str, at: int) -> str | None:
    """What stands in the box that begins at `at`; None where its brace is never closed."""
    start = text.find("{", at, at + 10)
    if start < 0 or text[at:start].strip() not in _BOXES:
        bare = re.compile(r"\\(?:boxed|fbox)\s+([^\s$]+)").match(text, at)
        return bare.group(1) if bare else None
    depth = 0
    for brace in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[start + 1 : brace.start()]
    return None


def plain(answer: str) -> str:
    r"""An answer without what does not change it: dollar signs, \text, spacing commands, a final full stop, case.

    >>> from bandpo.rewards.answers import plain
    >>> plain(r"$\text{Monday}$."), plain(r"\left( 1,\, 2 \right)"), plain(r"\dfrac{1}{2}")
    ('monday', '(1,2)', '\\frac{1}{2}')
    """
    text = answer.strip()
    for _ in range(4):
        unwrapped = _WRAPPERS.sub(r"\1", text)
        if unwrapped == text:
            break
        text = unwrapped
    for command in (r"\left", r"\right", r"\displaystyle", r"\(", r"\)", r"\[", r"\]"):
        text = text.replace(command, "")
    text = text.replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac").replace("$", "").replace("−", "-")
    text = _SPACES.sub("", text).rstrip(".")
    return text.casefold() if len(text) > 1 else text


def whole_number(answer: str) -> Fraction | None:
    """The integer that a plain answer is, thousands separators allowed; None for anything else.

    >>> from bandpo.rewards.answers import whole_number
    >>> whole_number("12,345"), whole_number("1/2")
    (Fraction(12345, 1), None)
    """
    if _THOUSANDS.fullmatch(answer):
        answer = re.sub(r"[^\d+-]", "", answer)
    return Fraction(int(answer)) if _INTEGER.fullmatch(answer) else None
