"""Unbiased scores of n samples a problem: pass@k and maj@k over all subsets of k, exact."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction


def problem_pass_at_k(correct: int, samples: int, k: int) -> float:
    """Return the chance that k of a problem's n samples, drawn without replacement, hold a correct one.

        pass@k = 1 - C(n - c, k)/C(n, k)      (Chen et al., arXiv 2107.03374, eq. 1)

    Worked out in integers and rounded once. Its mean over draws of the n samples is the chance for k fresh samples,
    which drawing with replacement from the n would underestimate.

    Args:
        correct: c, at most n.
        samples: n.
        k: at most n.

    Raises:
        ValueError: k is not in 1..n, or c not in 0..n.

    >>> problem_pass_at_k(1, samples=32, k=32), problem_pass_at_k(1, samples=4, k=2)
    (1.0, 0.5)
    """
    _check_k(samples, k)
    if not 0 <= correct <= samples:
        raise ValueError(f"correct={correct}: expected 0 to {samples}, the samples per problem")
    total = math.comb(samples, k)
    return (total - math.comb(samples - correct, k)) / total


def pass_at_k(correct: Sequence[int], samples: int, k: int) -> float:
    """Return `problem_pass_at_k`, mean over problems.

    Args:
        correct: number of correct samples of each problem.
        samples: n, samples per problem.
        k: at most n.

    Raises:
        ValueError: k is not in 1..n, or there is no problem.

    >>> pass_at_k([1, 0], samples=4, k=2)
    0.25
    """
    _check_k(samples, k)
    if not correct:
        raise ValueError("pass@k of no problems: expected at least one")
    return math.fsum(problem_pass_at_k(c, samples, k) for c in correct) / len(correct)


def problem_maj_at_k(answers: Sequence[Hashable | None], is_correct: Sequence[bool], k: int) -> float:
    """Return the chance that the most frequent answer of k of a problem's n samples, without replacement, is right.

    Exact over all C(n, k) subsets. Samples without an answer (None) do not vote; where none of the k has one, the vote
    is wrong. A tie is broken by drawing one of the tied answers, each alike.

    Args:
        answers: n answers; equal ones are votes for the same.
        is_correct: n verdicts, the same for equal answers.
        k: at most n.

    Raises:
        ValueError: k is not in 1..n, not as many verdicts as answers, or equal answers with different verdicts.

    >>> problem_maj_at_k(["7", "7", "5", None], [True, True, False, False], k=3)
    0.75
    """
    _check_k(len(answers), k)
    verdicts = _verdicts(answers, is_correct)
    votes = Counter(answer for answer in answers if answer is not None)
    silent = len(answers) - votes.total()
    right = Counter(count for answer, count in votes.items() if verdicts[answer])
    wins = sum((times * _win(count, votes, silent, k) for count, times in right.items()), Fraction(0))
    return float(wins / math.comb(len(answers), k))


def _verdicts(answers: Sequence[Hashable | None], is_correct: Sequence[bool]) -> Mapping[Hashable, bool]:
    verdicts: dict[Hashable, bool] = {}
    for answer, verdict in zip(answers, is_correct, strict=True):
        if answer is not None and verdicts.setdefault(answer, bool(verdict)) != bool(verdict):
            raise ValueError(f"answer {answer!r}: expected one verdict for equal answers, got both")
    return verdicts


def _win(count: int, votes: Mapping[Hashable, int], silent: int, k: int) -> Fraction:
    """Count the subsets of k in which an answer of `count` votes wins, a tie of t others counting 1/(t + 1).

    With j votes for it, every other answer has at most j: one with fewer than j in all is free, so they and the
    silent samples are one pool; the others go through a product of polynomials in drawn samples and ties.
    """
    others = Counter(votes.values())
    others[count] -= 1
    won = Fraction(0)
    for j in range(1, min(count, k) + 1):
        pool = silent + sum(size * times for size, times in others.items() if size < j)
        ways: dict[tuple[int, int], int] = {(0, 0): 1}
        for size in (size for size, times in others.items() if size >= j for _ in range(times)):
            ways = _with_answer(ways, size, j, k - j)
        subsets = sum(
            (Fraction(number * math.comb(pool, k - j - drawn), ties + 1) for (drawn, ties), number in ways.items()),
            Fraction(0),
        )
        won += math.comb(count, j) * subsets
    return won


def _with_answer(ways: dict[tuple[int, int], int], size: int, j: int, room: int) -> dict[tuple[int, int], int]:
    """Return ways to draw, by (samples, ties), after another answer of `size` votes gave 0 to j of them."""
    more: dict[tuple[int, int], int] = {}
    for (drawn, ties), number in ways.items():
        for votes in range(min(j, size, room - drawn) + 1):
            key = drawn + votes, ties + (votes == j)
            more[key] = more.get(key, 0) + number * math.comb(size, votes)
    return more


def _check_k(samples: int, k: int) -> None:
    if not 1 <= k <= samples:
        raise ValueError(f"k={k}: expected 1 <= k <= {samples}, the samples per problem")


def default_ks(samples: int) -> list[int]:
    """Return the k that are reported by default: powers of two up to n, and n.

    >>> default_ks(12)
    [1, 2, 4, 8, 12]
    """
    return sorted({2**i for i in range(samples.bit_length()) if 2**i <= samples} | {samples})
