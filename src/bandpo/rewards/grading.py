"""Graded answers: a rule, limits, a count of what was refused and why."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bandpo.rewards.answer_line import answer_line_equal
from bandpo.rewards.answers import Answer, final_answer
from bandpo.rewards.forks import renew_at_fork
from bandpo.rewards.mathematics.text import LONGEST
from bandpo.rewards.pool import Pool

logger = logging.getLogger("bandpo.rewards")

RULES = ("math", "math-verify", "answer-line")
Rule = Literal["math", "math-verify", "answer-line"]
Reference = str | Sequence[str]
_REMEMBERED = 65_536
_EXAMPLES = 20


@dataclass(frozen=True)
class Verdict:
    """One graded answer.

    Attributes:
        is_correct: whether it equals the reference; False where it was refused.
        answer: what was taken for the answer.
        refused: why there is no verdict, else None. "unread": the answer is not understood as a whole; "reference":
            the reference is not; "length": more than 1000 characters; "size": numbers too large to work out; under the
            rule "math-verify" also "timeout", "memory" and "crash".
    """

    is_correct: bool
    answer: str
    refused: str | None = None


@dataclass
class Statistics:
    """The answers that a grader has seen, counted.

    Attributes:
        graded: answers, refused ones included.
        correct: of them, equal to the reference.
        refused: of them, refused, by reason.
        examples: the latest refused ones: reason, reference, answer.
    """

    graded: int = 0
    correct: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    examples: deque[tuple[str, Reference, str]] = field(default_factory=lambda: deque(maxlen=_EXAMPLES))

    def add(self, verdicts: Sequence[Verdict], references: Sequence[Reference]) -> None:
        """Count these too."""
        self.graded += len(verdicts)
        self.correct += sum(verdict.is_correct for verdict in verdicts)
        for verdict, reference in zip(verdicts, references, strict=True):
            if verdict.refused:
                self.refused[verdict.refused] = self.refused.get(verdict.refused, 0) + 1
                self.examples.append((verdict.refused, reference, verdict.answer))

    def __str__(self) -> str:
        refused = ", ".join(f"{reason} {count}" for reason, count in sorted(self.refused.items()))
        return f"{sum(self.refused.values())} of {self.graded} answers refused ({refused or 'none'})"


class Grader:
    """A judge of whether answers equal their references.

    Args:
        rule: "math", mathematical equality by a strict reader; "math-verify", that library's verdict within limits; or
            "answer-line", the exact match of the paper's runs.
        timeout: seconds that one answer may take under the rule "math-verify".
        memory_mb: address space of one of its processes, 64 of it for itself.
        workers: its processes; as many as cores by default, 16 at most.

    Raises:
        ValueError: an unknown rule, a limit out of range.

    >>> grader = bandpo.rewards.Grader(rule="answer-line")
    >>> [verdict.is_correct for verdict in grader.grade(["Answer: 4", "Answer: 5"], ["4", "4"])]
    [True, False]
    """

    def __init__(self, rule: str = "math", *, timeout: float = 5.0, memory_mb: int = 512, workers: int | None = None):
        workers = min(16, _cores()) if workers is None else workers
        if rule not in RULES:
            raise ValueError(f"rule={rule!r}: expected one of {', '.join(RULES)}")
        if not 0 < timeout < 1e6:
            raise ValueError(f"timeout={timeout}: expected seconds above 0 and below a million")
        if memory_mb < 128:
            raise ValueError(f"memory_mb={memory_mb}: expected at least 128, a grading process needs 64 itself")
        if workers < 1:
            raise ValueError(f"workers={workers}: expected at least 1")
        self.rule, self.timeout, self.memory_mb, self.workers = rule, timeout, memory_mb, workers
        self.statistics = Statistics()
        self._pool: Pool | None = None
        self._known: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.renew()
        renew_at_fork(self)

    def renew(self) -> None:
        """Begin anew in a forked child, where the thread that held the lock does not exist."""
        self._lock = threading.Lock()

    def grade(self, completions: Sequence[str], references: Sequence[Reference]) -> list[Verdict]:
        """Return a verdict for every completion.

        Args:
            completions: what the model wrote.
            references: the right answer of each, or a list of alternatives, one of which it must be.

        Raises:
            ValueError: not as many references as completions, or an empty reference.
            ModuleNotFoundError: the rule needs a library that is not installed.
        """
        if len(completions) != len(references):
            raise ValueError(f"{len(completions)} completions, {len(references)} answers: expected as many")
        alternatives = [_alternatives(reference) for reference in references]
        grade = {"math": self._by_reading, "math-verify": self._by_math_verify, "answer-line": _by_answer_line}[
            self.rule
        ]
        verdicts = grade(completions, alternatives)
        with self._lock:
            self.statistics.add(verdicts, references)
        return verdicts

    def processes(self) -> list[int]:
        """Return the ids of the grading processes that are alive."""
        return [] if self._pool is None else self._pool.processes()

    def close(self) -> None:
        """End the grading processes; the next answer starts new ones."""
        if self._pool is not None:
            self._pool.close()

    def _by_reading(self, completions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Verdict]:
        return [
            self._read(final_answer(completion), alternatives)
            for completion, alternatives in zip(completions, references, strict=True)
        ]

    def _read(self, answer: Answer, alternatives: Sequence[str]) -> Verdict:
        if not answer.text:
            return Verdict(False, "")
        if len(answer.text) > LONGEST:
            return Verdict(False, answer.text[:LONGEST], "length" if answer.is_marked else None)
        outcomes = []
        for reference in alternatives:
            outcomes.append(self._same(reference, answer.text))
            if outcomes[-1] is True:
                return Verdict(True, answer.text)
        # A last sentence that is no answer was never meant as one; an answer that one alternative refutes is wrong.
        refusals = [outcome for outcome in outcomes if isinstance(outcome, str)]
        is_refused = len(refusals) == len(outcomes) and (answer.is_marked or refusals[0] != "unread")
        return Verdict(False, answer.text, refusals[0] if is_refused else None)

    def _same(self, reference: str, answer: str) -> bool | str:
        """Return the outcome of a pair; verdicts are remembered, refusals are not."""
        with self._lock:
            known = self._known.get((reference, answer))
        if known is not None:
            return known
        outcome = _judge(reference, answer)
        if isinstance(outcome, bool):
            self._remember({(reference, answer): outcome})
        return outcome

    def _by_math_verify(self, completions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Verdict]:
        answers = [final_answer(completion) for completion in completions]
        tails = [completion[-2 * LONGEST :] for completion in completions]
        pairs = [(rf"\boxed{{{one}}}", tail) for tail, many in zip(tails, references, strict=True) for one in many]
        outcomes = dict(zip(pairs, self._verified(pairs), strict=True))
        verdicts = []
        for answer, tail, many in zip(answers, tails, references, strict=True):
            found = [outcomes[rf"\boxed{{{one}}}", tail] for one in many]
            refusals = [outcome for outcome in found if isinstance(outcome, str)]
            is_correct = True in found
            verdicts.append(
                Verdict(is_correct, answer.text[:LONGEST], None if is_correct or not refusals else refusals[0])
            )
        return verdicts

    def _verified(self, pairs: Sequence[tuple[str, str]]) -> list[bool | str]:
        """Return the outcomes of pairs, each different one worked out once."""
        with self._lock:
            known: dict[tuple[str, str], bool | str] = {
                pair: self._known[pair] for pair in pairs if pair in self._known
            }
            self._pool = self._pool or Pool(self.timeout, self.memory_mb, self.workers)
        asked = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        outcomes = dict(zip(asked, self._pool.equal_each(asked), strict=True))
        self._remember({pair: outcome for pair, outcome in outcomes.items() if isinstance(outcome, bool)})
        known.update(outcomes)
        return [known[pair] for pair in pairs]

    def _remember(self, verdicts: dict[tuple[str, str], bool]) -> None:
        with self._lock:
            self._known.update(verdicts)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


def _judge(reference: str, answer: str) -> bool | str:
    try:
        from bandpo.rewards.mathematics.judge import Unread, same_answer
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("grading needs python-flint: pip install 'bandpo[math]'", name=error.name) from None
    try:
        return same_answer(reference, answer)
    except Unread as unread:
        return str(unread)


def _by_answer_line(completions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Verdict]:
    verdicts = []
    for completion, alternatives in zip(completions, references, strict=True):
        found = [answer_line_equal(completion, reference) for reference in alternatives]
        verdicts.append(Verdict(any(is_equal for is_equal, _ in found), found[0][1]))
    return verdicts


def _alternatives(reference: Reference) -> Sequence[str]:
    alternatives = (reference,) if isinstance(reference, str) else tuple(reference)
    if not alternatives or not all(isinstance(text, str) and text.strip() for text in alternatives):
        raise ValueError(f"answer={reference!r}: expected the reference answer, a text or a list of texts")
    return alternatives


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
