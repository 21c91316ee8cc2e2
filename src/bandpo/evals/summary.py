"""From saved samples to scores: one numerator and denominator per problem, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bandpo.evals.config import EvalConfig
from bandpo.evals.intervals import bootstrap_interval, ratio_of_sums
from bandpo.evals.scores import problem_maj_at_k, problem_pass_at_k
from bandpo.tasks import TASKS

Record = Mapping[str, Any]
Columns = dict[str, tuple[list[float], list[float]]]

DEFINITIONS = {
    "mean@n": "mean reward of the samples that have one, mean over problems",
    "pass@k": "chance that k of the n samples hold a right one (reward 1 or more), unbiased, mean over problems",
    "maj@k": "chance that the most frequent answer of k of the n samples is right, exact over all subsets, "
    "ties drawn alike, samples without an answer do not vote",
    "unscored": "share of samples to which the reward function gave None or NaN; they, and problems with fewer than k "
    "others, are left out of the scores above",
    "length": "tokens of an answer, the end token included",
    "truncated": "share of answers cut off at max_tokens",
    "entropy": "nats, mean over tokens, exact over the vocabulary at the sampling temperature (1 if greedy), "
    "before top_p",
    "entropy_estimate": "nats, mean over tokens of -log of the probability each was drawn with, temperature and top_p "
    "included",
}


def by_problem(records: Sequence[Record], problems: int) -> list[list[Record]]:
    """Return the records of each problem, its samples in order."""
    rows: list[list[Record]] = [[] for _ in range(problems)]
    for record in records:
        rows[record["problem"]].append(record)
    return [sorted(row, key=lambda record: record["sample"]) for row in rows]


def score_columns(rows: Sequence[Sequence[Record]], config: EvalConfig, task: str) -> Columns:
    """Return numerator and denominator of every score, one each a problem; a score is the ratio of their sums.

    Args:
        rows: records of each problem.
        config: of the evaluation.
        task: name in it.
    """
    n, own = config.n, config.tasks[task]
    once = [1.0] * len(rows)
    scored = [[r for r in row if r["reward"] is not None] for row in rows]
    means = [sum(r["reward"] for r in row) / len(row) if row else 0.0 for row in scored]
    columns: Columns = {f"mean@{n}": (means, [float(bool(row)) for row in scored])}
    columns |= _at_k(scored, config.k, own.one_answer)
    if any(len(row) < n for row in scored):
        columns["unscored"] = [1 - len(row) / n for row in scored], once
    tokens = [float(sum(r["tokens"] for r in row)) for row in rows]
    columns["length"] = [count / n for count in tokens], once
    if not own.fixed_length:
        columns["truncated"] = [sum(r["truncated"] for r in row) / n for row in rows], once
    for name, key in (("entropy", "entropy_sum"), ("entropy_estimate", "surprisal_sum")):
        if all(r.get(key) is not None for row in rows for r in row):
            columns[name] = [sum(r[key] for r in row) for row in rows], tokens
    return columns | _described(rows, task, once)


def _at_k(scored: Sequence[Sequence[Record]], ks: Sequence[int], one_answer: bool) -> Columns:
    """Return pass@k and maj@k of every k; a problem with fewer than k scored samples counts for neither."""
    columns: Columns = {}
    correct = [sum(r["correct"] for r in row) for row in scored]
    votes = [[_vote(r, one_answer) for r in row] for row in scored]
    verdicts = [[r["correct"] for r in row] for row in scored]
    for k in ks:
        counts = [float(len(row) >= k) for row in scored]
        passed = [
            problem_pass_at_k(c, len(row), k) if len(row) >= k else 0.0 for c, row in zip(correct, scored, strict=True)
        ]
        columns[f"pass@{k}"] = passed, counts
    for k in ks:
        counts = [float(len(row) >= k) for row in scored]
        wins = [
            problem_maj_at_k(vote, right, k) if len(vote) >= k else 0.0
            for vote, right in zip(votes, verdicts, strict=True)
        ]
        columns[f"maj@{k}"] = wins, counts
    return columns


def _vote(record: Record, one_answer: bool) -> tuple[str, bool] | None:
    """Return what a completion votes for: where a problem has one right answer, all right ones are the same."""
    if one_answer and record["correct"]:
        return "", True
    return None if record["answer"] is None else (record["answer"], record["correct"])


def _described(rows: Sequence[Sequence[Record]], task: str, once: list[float]) -> Columns:
    """Return shares that an embedded task finds worth watching."""
    if task not in TASKS:
        return {}
    shares = [TASKS[task].describe([r["completion"] for r in row]) for row in rows]
    return {name: ([share[name] for share in shares], once) for name in shares[0]}


def summarise(rows: Sequence[Sequence[Record]], config: EvalConfig, task: str) -> dict[str, Any]:
    """Return every score of a task as value, low and high (None, and `why`, where there is no interval)."""
    return {
        name: {"value": float(ratio_of_sums(top, bottom)), **bootstrap_interval(top, bottom, config.seed)}
        for name, (top, bottom) in score_columns(rows, config, task).items()
    }


def logged_means(records: Sequence[Record]) -> dict[str, float]:
    """Return the means over samples of what the reward function logged, such as the share of refused answers."""
    names = sorted({name for record in records for name in record.get("logged", {})})
    values = {name: [r["logged"][name] for r in records if name in r.get("logged", {})] for name in names}
    return {name: sum(entries) / len(entries) for name, entries in values.items()}
