"""Whether a command ended as it should: with its work done, or with a sentence that says what was wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchmarks.attack.case import Case

# What names with control characters would do to a terminal: colour, title, bell, order of writing.
RAW = ("\x1b[31m", "\x1b]0;", "\x07", "\u202e")
_PYTHON_WORDS = re.compile(
    r"invalid literal for|not supported between|unsupported operand|'NoneType' object|object has no attribute"
    r"|index out of range|unexpected keyword argument|required positional argument|unhashable type"
    r"|is not iterable|not subscriptable|has no len\(\)|recursion depth|is not JSON serializable"
    r"|cannot unpack|not enough values to unpack|too many values to unpack|object is not callable"
)
_PROGRESS = re.compile(r"\d+%\||it/s[\],]|\?it/s")
_RAISED = re.compile(r"^[\w.]+(?:Error|Exception|Exit|Interrupt|Group)\b.*$", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code, minus the signal that ended it, None where it was still running at its limit.
        stdout, stderr: what it printed.
        seconds: wall clock.
    """

    code: int | None
    stdout: str
    stderr: str
    seconds: float

    @property
    def text(self) -> str:
        """All it printed on one line, without the frames that typer draws around errors."""
        return " ".join(re.sub(r"[│╭╮╰╯─┃]", " ", f"{self.stdout}\n{self.stderr}").split())

    @property
    def last_line(self) -> str:
        """The last line with words, which is no progress bar, on standard error, or else on standard output."""
        for stream in (self.stderr, self.stdout):
            lines = [line for line in re.split(r"[\r\n]+", stream) if re.search(r"\w", line)]
            lines = [line for line in lines if not _PROGRESS.search(line)]
            if lines:
                return lines[-1].strip()
        return ""


def failure(case: Case, ended: Ended) -> str | None:
    """What is wrong with how the case ended, None for nothing.

    >>> failure(Case("kind", "name", ()), Ended(0, "", "", 0.1))
    'accepted silently'
    >>> failure(Case("kind", "name", (), says=("seed",)), Ended(2, "", "bandpo train: seed='x': a number", 0.1))
    """
    broken = unclean(ended, case.own_code)
    if broken:
        return broken
    if ended.code == 0:
        return "accepted silently" if case.must == "refuse" else None
    if case.must == "work":
        return f"refused, though it is right: {ended.last_line:.300}"
    return unclear(ended, case.says, case.own_code)


def unclean(ended: Ended, own_code: str | None = None) -> str | None:
    """Whether it hung, was ended by a signal, showed a traceback of ours, or wrote raw control characters."""
    if ended.code is None:
        return f"still running after {ended.seconds:.0f} s"
    if ended.code < 0:
        return f"ended by signal {-ended.code}"
    everything = ended.stdout + ended.stderr
    if _TRACEBACK in everything and not (own_code and own_code in everything):
        raised = _RAISED.findall(everything)
        return f"traceback: {(raised or [ended.last_line])[-1]:.300}"
    for mark in RAW:
        if mark in everything:
            return f"raw control characters {mark!r} on the terminal"
    return None


def unclear(ended: Ended, says: tuple[str, ...] = (), own_code: str | None = None) -> str | None:
    """Whether the message of a refusal is no sentence, or does not name what it is about."""
    text = ended.text
    if re.fullmatch(r"Aborted[.!]?", ended.last_line) or not text:
        return f"no sentence: {ended.last_line!r}"
    if any(_names(text, word) for word in says):
        return None
    words = _PYTHON_WORDS.search(text)
    if words and not own_code:
        return f"Python's words instead of a sentence: {ended.last_line:.300}"
    return f"does not name {' or '.join(says)}: {ended.last_line:.300}" if says else None


def _names(text: str, word: str) -> bool:
    """Whether the word is in the text, in any case, and not as a part of a longer one."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z])", text, re.IGNORECASE) is not None
