"""Graded answers: a rule, limits, a count of what was refused and why."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bandpo.rewards.answer_line import answer_line_equal
from bandpo.rewards.answers import LONGEST, Answer, final_answer
from bandpo.rewards.exact import decide, said_letter
from bandpo.rewards.pool import Pool

logger = logging.getLogger("bandpo.rewards")

RULES = ("math-verify", "answer-line")
Rule = Literal["math-verify", "answer-line"]
_REMEMBERED = 65_536


@dataclass(frozen=True)
class Verdict:
    """One graded answer.

    Attributes:
        is_correct: whether it equals the reference; False where it was refused.
        answer: what was taken for the answer.
        refused: "timeout", "memory", "crash" or "length" where it broke a limit, else None.
    """

    is_correct: bool
    answer: str
    refused: str | None = None


@dataclass
class Statistics:
    """What a grader has seen.

    Attributes:
        graded: answers, refused ones included.
        correct: of them, equal to the reference.
        refused: of them, refused, by reason.
    """

    graded: int = 0
    correct: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Count these too."""
        self.graded += len(verdicts)
        self.correct += sum(verdict.is_correct for verdict in verdicts)
        for verdict in verdicts:
            if verdict.refused:
                self.refused[verdict.refused] = self.refused.get(verdict.refused, 0) + 1

    def __str__(self) -> str:
        refused = ", ".join(f"{reason} {count}" for reason, count in sorted(self.refused.items()))
        return f"{sum(self.refused.values())} of {self.graded} answers refused ({refused or 'none'})"


class Grader:
    """Says whether answers equal their references, within limits.

    Args:
        rule: "math-verify", mathematical equality; or "answer-line", the exact match of the paper's runs.
        timeout: seconds that one answer may take.
        memory_mb: address space of a grading process, 64 of it for itself.
        workers: grading processes; as many as cores by default, 16 at most.

    Raises:
        ValueError: an unknown rule, a limit out of range.

    >>> grader = bandpo.rewards.Grader(rule="answer-line")
    >>> [verdict.is_correct for verdict in grader.grade(["Answer: 4", "Answer: 5"], ["4", "4"])]
    [True, False]
    """

    def __init__(
        self, rule: str = "math-verify", *, timeout: float = 5.0, memory_mb: int = 512, workers: int | None = None
    ):
        workers = min(16, _cores()) if workers is None else workers
        if rule not in RULES:
            raise ValueError(f"rule={rule!r}: expected one of {', '.join(RULES)}")
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout={timeout}: expected seconds above 0")
        if memory_mb < 128:
            raise ValueError(f"memory_mb={memory_mb}: expected at least 128, a grading process needs 64 itself")
        if workers < 1:
            raise ValueError(f"workers={workers}: expected at least 1")
        self.rule, self.timeout, self.memory_mb, self.workers = rule, timeout, memory_mb, workers
        self.statistics = Statistics()
        self._pool: Pool | None = None
        self._known: OrderedDict[tuple[str, str], bool | str] = OrderedDict()
        self._lock = threading.Lock()

    def grade(self, completions: Sequence[str], references: Sequence[str]) -> list[Verdict]:
        """A verdict for every completion; those that take longer or more memory than allowed are refused.

        Raises:
            ValueError: not as many references as completions, or an empty reference.
            ModuleNotFoundError: the rule needs math-verify and it is not installed.
        """
        if len(completions) != len(references):
            raise ValueError(f"{len(completions)} completions, {len(references)} answers: expected as many")
        for reference in references:
            if not str(reference).strip():
                raise ValueError(f"answer={reference!r}: expected the reference answer")
        if self.rule == "answer-line":
            verdicts = [Verdict(*answer_line_equal(*pair)) for pair in zip(completions, references, strict=True)]
        else:
            answers = [final_answer(completion) for completion in completions]
            outcomes = self._equal_each([(str(r), a) for r, a in zip(references, answers, strict=True)])
            verdicts = [
                Verdict(outcome is True, answer.text[:LONGEST], outcome if isinstance(outcome, str) else None)
                for answer, outcome in zip(answers, outcomes, strict=True)
            ]
        with self._lock:
            self.statistics.add(verdicts)
        return verdicts

    def processes(self) -> list[int]:
        """Ids of the grading processes that are alive."""
        return [] if self._pool is None else self._pool.processes()

    def close(self) -> None:
        """End the grading processes; the next answer starts new ones."""
        if self._pool is not None:
            self._pool.close()

    def _equal_each(self, pairs: Sequence[tuple[str, Answer]]) -> list[bool | str]:
        """Outcomes of pairs; each different one is worked out once, and what is plain to see without a process."""
        quick = [_quick(reference, answer) for reference, answer in pairs]
        keys = [(rf"\boxed{{{reference}}}", answer.as_latex()) for reference, answer in pairs]
        with self._lock:
            known = {key: self._known[key] for key in keys if key in self._known}
        asked = list(dict.fromkeys(k for k, q in zip(keys, quick, strict=True) if q is None and k not in known))
        if asked:
            with self._lock:
                self._pool = self._pool or Pool(self.timeout, self.memory_mb, self.workers)
            known |= zip(asked, self._pool.equal_each(asked), strict=True)
            with self._lock:
                self._known.update({key: known[key] for key in asked})
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return [known[key] if q is None else q for key, q in zip(keys, quick, strict=True)]


def _quick(reference: str, answer: Answer) -> bool | str | None:
    """The outcome where no algebra is needed, None where it is."""
    if answer.is_marked and len(answer.text) > LONGEST:
        return "length"
    if not answer.text:
        return False
    return decide(reference, answer.text) if answer.is_marked else said_letter(reference, answer.text)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
