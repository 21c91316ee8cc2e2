"""What the grader does with hostile answers: those of a list, and generated ones in two processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from bandpo.rewards import Grader

if __package__:
    from benchmarks import grading_fuzz, grading_torture
else:
    import grading_fuzz  # pyright: ignore[reportMissingImports]
    import grading_torture  # pyright: ignore[reportMissingImports]

TIMEOUT, MEMORY_MB = 1.0, 512  # of the rule "math-verify"
LATE = 1.0
Counts = dict[str, Any]


def torture(rule: str) -> list[dict[str, Any]]:
    """Return outcome and seconds of every hostile answer under a rule."""
    grader = Grader(rule, timeout=TIMEOUT, memory_mb=MEMORY_MB, workers=1)
    grader.grade([r"\boxed{x+x}"], ["y"])
    measured = []
    for name, reference, completion in grading_torture.TORTURE:
        started = time.perf_counter()
        [verdict] = grader.grade([completion], [reference])
        seconds = time.perf_counter() - started
        outcome = verdict.refused or ("equal" if verdict.is_correct else "not equal")
        measured.append({"name": name, "characters": len(completion), "seconds": round(seconds, 3), "outcome": outcome})
    grader.close()
    return measured


def fuzz(count: int, seeds: Sequence[int]) -> dict[str, Counts]:
    """Return by kind how many generated answers were graded, paid, refused, raised or took longer than a second."""
    share = partial(_fuzz, count // len(seeds))
    with ProcessPoolExecutor(len(seeds)) as processes:
        parts = list(processes.map(share, seeds))
    kinds: dict[str, Counts] = {}
    for part in parts:
        for kind, counts in part.items():
            seen = kinds.setdefault(kind, {})
            slowest = max(counts["slowest"], seen.get("slowest", 0.0))
            seen.update({name: number + seen.get(name, 0) for name, number in counts.items()}, slowest=slowest)
    return kinds


def _fuzz(count: int, seed: int) -> dict[str, Counts]:
    grader = Grader()
    kinds: dict[str, Counts] = {}
    for hostile in grading_fuzz.hostile_answers(count, seed):
        seen = kinds.setdefault(hostile.kind, {"graded": 0, "paid": 0, "raised": 0, "late": 0, "slowest": 0.0})
        started = time.process_time()  # the clock on the wall goes on while other programs have the processor
        try:
            [verdict] = grader.grade([hostile.completion], [hostile.reference])
        except Exception as error:
            print(f"raised {error!r}: {hostile}", flush=True)
            seen["raised"] += 1
        else:
            if verdict.is_correct:
                print(f"paid: {hostile}", flush=True)
            outcome = "paid" if verdict.is_correct else verdict.refused or "refused"
            seen[outcome] = seen.get(outcome, 0) + 1
        seconds = time.process_time() - started
        seen["graded"] += 1
        seen["late"] += seconds > LATE
        seen["slowest"] = round(max(seen["slowest"], seconds), 3)
    return kinds
