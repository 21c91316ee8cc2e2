"""Reward functions: the grader in TRL's signature and in verl's."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from bandpo.rewards.grading import Grader, Verdict, logger
from bandpo.rewards.messages import completion_text

# Each limit's type, and its least and largest value: seconds, MiB, processes.
_LIMITS = {"timeout": (float, 1e-3, 3600), "memory_mb": (int, 128, 2**20), "workers": (int, 1, 1024)}


def math_reward(completions: Sequence[Any], answer: Sequence[Any], **kwargs: Any) -> list[float]:
    r"""Return 1.0 for every completion whose final answer equals `answer` mathematically, else 0.0; TRL's signature.

    Args:
        completions: texts, or chats whose last assistant message is graded.
        answer: the reference answers, a column of the data set: texts, numbers, or lists of alternatives.
        kwargs: TRL's other columns; its `log_metric` gets the shares refused and unread.

    Raises:
        ValueError: not as many answers as completions, an empty answer or one that is no text.
        ModuleNotFoundError: python-flint is not installed (`pip install 'bandpo[math]'`).

    >>> bandpo.rewards.math_reward([r"Thus \boxed{0.5}", "Answer: 3"], answer=[r"\frac{1}{2}", "4"])
    [1.0, 0.0]
    """
    return _rewards(shared_grader("math"), completions, answer, (1.0, 0.0), "math_reward", kwargs)


def answer_line_reward(completions: Sequence[Any], answer: Sequence[Any], **kwargs: Any) -> list[float]:
    """Return 1.0 where the last "Answer:" line is the reference after clean-up, else -1.0: the paper's own rule.

    Same arguments as `math_reward`, which knows that 1/2 is 0.5; this one does not.

    >>> bandpo.rewards.answer_line_reward(["Answer: 34", "Answer: 34.0"], answer=["34", "34"])
    [1.0, -1.0]
    """
    return _rewards(shared_grader("answer-line"), completions, answer, (1.0, -1.0), "answer_line_reward", kwargs)


def math_rewarder(
    rule: str = "math", *, correct: float = 1.0, wrong: float = 0.0, **limits: Any
) -> Callable[..., list[float]]:
    """Return a reward function in TRL's signature with a rule, reward values and limits of one's own.

    Args:
        rule: "math", "math-verify" or "answer-line".
        correct, wrong: the two rewards; refused answers are wrong.
        limits: `timeout`, `memory_mb` and `workers` of `Grader`.

    Raises:
        ValueError: an unknown rule, a limit out of range.

    >>> reward = bandpo.rewards.math_rewarder(correct=2.0, wrong=-1.0, timeout=2.0)
    >>> reward(["Answer: 4"], answer=["4"])
    [2.0]
    """
    grader = Grader(rule, **limits)

    def math_reward(completions: Sequence[Any], answer: Sequence[Any], **kwargs: Any) -> list[float]:
        return _rewards(grader, completions, answer, (correct, wrong), "math_reward", kwargs)

    return math_reward


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict | None = None,
    *,
    rule: str = "math",
    correct: float = 1.0,
    wrong: float | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Score an answer for verl: score, whether correct, the answer found and whether it was refused.

    Args:
        data_source, extra_info: verl's, not looked at.
        solution_str: the decoded response.
        ground_truth: the reference answer.
        rule: "math", "math-verify" or "answer-line"; verl hands over `reward_kwargs`.
        correct, wrong: the scores; `wrong` is 0, or -1 under the "answer-line" rule.
        kwargs: what newer versions of verl hand over besides.

    Raises:
        ValueError: an unknown rule, an empty reference.

    >>> bandpo.rewards.compute_score("math", r"Thus \\boxed{34}", "34")
    {'score': 1.0, 'acc': True, 'pred': '34', 'refused': 0.0, 'unread': 0.0}
    """
    grader = shared_grader(rule)
    [verdict] = grader.grade([solution_str], [_alternatives(ground_truth)])
    _report("compute_score", grader, [verdict])
    wrong = wrong if wrong is not None else -1.0 if rule == "answer-line" else 0.0
    return {
        "score": correct if verdict.is_correct else wrong,
        "acc": verdict.is_correct,
        "pred": verdict.answer,
        "refused": float(verdict.refused is not None),
        "unread": float(verdict.refused == "unread"),
    }


def shared_grader(rule: str = "math") -> Grader:
    """Return this process's grader of a rule, with the limits of the environment.

    BANDPO_GRADER_TIMEOUT, BANDPO_GRADER_MEMORY_MB and BANDPO_GRADER_WORKERS are read at the first call.

    Raises:
        ValueError: an unknown rule, or a limit that is no number or out of range.
    """
    return _shared_grader(rule)


@lru_cache
def _shared_grader(rule: str) -> Grader:
    return Grader(rule, **grader_limits())


def grader_limits() -> dict[str, Any]:
    """Return the grader's limits that the environment sets, by argument of `Grader`.

    Raises:
        ValueError: a variable that is no number, or out of range.

    >>> from bandpo.rewards.functions import grader_limits
    >>> isinstance(grader_limits(), dict)
    True
    """
    return {name: _limit(name) for name in _LIMITS if _variable(name) in os.environ}


def _variable(name: str) -> str:
    return f"BANDPO_GRADER_{name.upper()}"


def _limit(name: str) -> float:
    kind, least, most = _LIMITS[name]
    text = os.environ[_variable(name)]
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"{_variable(name)}={text!r}: expected a number") from None
    if not least <= value <= most:
        raise ValueError(f"{_variable(name)}={text!r}: expected {least:g} to {most:,}")
    return value


def _rewards(
    grader: Grader,
    completions: Sequence[Any],
    answer: Sequence[Any],
    values: tuple[float, float],
    name: str,
    kwargs: dict,
) -> list[float]:
    texts = [completion_text(completion) for completion in completions]
    verdicts = grader.grade(texts, [_alternatives(reference) for reference in answer])
    _report(name, grader, verdicts, kwargs.get("log_metric"))
    return [values[0] if verdict.is_correct else values[1] for verdict in verdicts]


def check_reference(answer: Any) -> None:
    r"""Raise ValueError where `math_reward` cannot read a reference as a whole.

    >>> from bandpo.rewards import check_reference
    >>> check_reference(r"\frac{1}{2}")
    >>> check_reference("5 or so")
    Traceback (most recent call last):
    ValueError: answer='5 or so': not understood as a whole, expected a number, an expression, a set or words
    """
    from bandpo.rewards.mathematics.judge import readable

    for text in _alternatives(answer):
        if not readable(text):
            raise ValueError(
                f"answer={text!r}: not understood as a whole, expected a number, an expression, a set or words"
            )


math_reward.check_answer = check_reference  # pyright: ignore[reportFunctionMemberAccess]


def _alternatives(answer: Any) -> tuple[str, ...]:
    """Return a reference as texts, one of which an answer must equal.

    Raises:
        ValueError: neither text nor number nor a list of them.
    """
    if answer is None:
        raise ValueError("answer is missing (null): expected the reference answer")
    answer = answer.tolist() if hasattr(answer, "tolist") else answer
    values = tuple(answer) if isinstance(answer, (list, tuple)) else (answer,)
    texts = tuple(_text(value, answer) for value in values)
    if not texts:
        raise ValueError(f"answer={answer!r}: expected the reference answer, a text, a number or a list of them")
    return texts


def _text(value: Any, answer: Any) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if isinstance(value, str) and value.strip():
        return value
    if not is_number:
        raise ValueError(f"answer={answer!r}: expected the reference answer, a text, a number or a list of them")
    return str(int(value)) if float(value).is_integer() else format(Decimal(repr(value)), "f")


def _report(
    name: str, grader: Grader, verdicts: Sequence[Verdict], log_metric: Callable[[str, float], None] | None = None
) -> None:
    """Say what was refused: shares as metrics where the trainer takes them, a line in the log as the count doubles."""
    refused = [verdict.refused for verdict in verdicts if verdict.refused]
    if log_metric is not None and verdicts:
        log_metric(f"{name}/refused", len(refused) / len(verdicts))
        log_metric(f"{name}/unread", refused.count("unread") / len(verdicts))
    statistics = grader.statistics
    so_far = sum(statistics.refused.values())
    if refused and so_far.bit_length() > (so_far - len(refused)).bit_length():
        reason, reference, answer = statistics.examples[-1]
        expected = reference if isinstance(reference, str) else " or ".join(reference)
        logger.warning("%s: %s; the latest, %s: %r against %r", name, str(statistics), reason, answer[:200], expected)
