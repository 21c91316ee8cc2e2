"""The graders that `benchmarks/grading.py` sets side by side, each in a process of its own.

    python benchmarks/grading_graders.py NAME [FOLDER] < pairs.json > result.json

`pairs.json` is a list of [reference, completion], the result {"seconds", "outcomes"} with an outcome for each pair:
"accepted", "refused", "unread" where the grader says that it found or understood no answer, or "error".
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

Pair = tuple[str, str]
Outcomes = list[str]
WORKERS, TIMEOUT = 2, 10.0


def _outcome(is_correct: bool, is_read: bool) -> str:
    return "accepted" if is_correct else "refused" if is_read else "unread"


def of_this_library(rule: str | None) -> Callable[[list[Pair]], Outcomes]:
    """Return the grader of a rule, of the default one for None; any reason of refusal counts as unread."""
    from bandpo.rewards import Grader

    grader = (
        Grader(timeout=TIMEOUT, workers=WORKERS) if rule is None else Grader(rule, timeout=TIMEOUT, workers=WORKERS)
    )

    def grade(pairs: list[Pair]) -> Outcomes:
        verdicts = grader.grade([completion for _, completion in pairs], [reference for reference, _ in pairs])
        return [
            _outcome(verdict.is_correct, verdict.refused is None and verdict.answer != "[INVALID]")
            for verdict in verdicts
        ]

    return grade


def each(compute_score: Callable[[str, str], tuple[bool, bool]]) -> Callable[[list[Pair]], Outcomes]:
    """Return a grader from a function that says whether a (completion, reference) is right and was read."""

    def outcome(reference: str, completion: str) -> str:
        try:
            return _outcome(*compute_score(completion, reference))
        except Exception:
            return "error"

    return lambda pairs: [outcome(*pair) for pair in pairs]


def math_verify_alone() -> Callable[[list[Pair]], Outcomes]:
    """Return math-verify as its README has it, with its own time-outs, in this process's main thread."""
    from math_verify import parse, verify

    def compute_score(completion: str, reference: str) -> tuple[bool, bool]:
        answer = parse(completion)
        return bool(verify(parse(f"${reference}$"), answer)), bool(answer)

    return each(compute_score)


def of_verl(module: str, folder: str) -> Callable[[list[Pair]], Outcomes]:
    """Return a `compute_score` of verl's, imported from the folder without verl's own imports."""
    sys.path.append(folder)
    for package in ("verl", "verl.utils", "verl.utils.reward_score"):
        empty = types.ModuleType(package)
        empty.__path__ = [str(Path(folder, *package.split(".")))]
        sys.modules[package] = empty
    score = importlib.import_module(f"verl.utils.reward_score.{module}").compute_score

    def math_dapo(completion: str, reference: str) -> tuple[bool, bool]:
        result = score(completion, reference)
        return result["acc"], result["pred"] != "[INVALID]"

    def prime_math(completion: str, reference: str) -> tuple[bool, bool]:
        is_correct, _, answer = score(completion, reference)
        return bool(is_correct), answer != completion  # the whole text where it found no answer

    return each({"math_dapo": math_dapo, "prime_math": prime_math}[module])


def grader(name: str, folder: str) -> Callable[[list[Pair]], Outcomes]:
    """Return the grader of a name; `folder` has what was fetched for it."""
    makers: dict[str, Callable[[], Callable[[list[Pair]], Outcomes]]] = {
        "math_reward": lambda: of_this_library(None),
        "math-verify rule": lambda: of_this_library("math-verify"),
        "answer_line_reward": lambda: of_this_library("answer-line"),
        "before": lambda: of_this_library(None),
        "math-verify alone": math_verify_alone,
        "verl math_dapo": lambda: of_verl("math_dapo", folder),
        "verl prime_math": lambda: of_verl("prime_math", folder),
    }
    return makers[name]()


def main() -> None:
    """Grade what comes on standard input; what graders print goes to standard error."""
    result, sys.stdout = sys.stdout, sys.stderr
    logging.disable(logging.CRITICAL)
    pairs: list[Any] = [tuple(pair) for pair in json.load(sys.stdin)]
    grade = grader(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    grade([("x", r"\boxed{2x}")])  # imports and tables
    started = time.perf_counter()
    outcomes = grade(pairs)
    json.dump({"seconds": time.perf_counter() - started, "outcomes": outcomes}, result)
    result.flush()
    os._exit(0)  # a grader may have left threads and processes


if __name__ == "__main__":
    main()
