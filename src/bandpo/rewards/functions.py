"""Reward functions: the grader in TRL's signature and in verl's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from bandpo.rewards.grading import Grader, Verdict, logger

# Each limit's type, and its least and largest value: seconds, MiB, processes.
_LIMITS = {"timeout": (float, 1e-3, 3600), "memory_mb": (int, 128, 2**20), "workers": (int, 1, 1024)}


def math_reward(completions: Sequence[Any], answer: Sequence[Any], **kwargs: Any) -> list[float]:
    r"""1.0 for every completion whose final answer equals `answer` mathematically, else 0.0; TRL's signature.

    Args:
        completions: texts, or chats whose last message is graded.
        answer: the reference answers, a column of the data set.
        kwargs: TRL's other columns; its `log_metric` gets the share refused.

    Raises:
        ValueError: not as many answers as completions, an empty answer.
        ModuleNotFoundError: math-verify is not installed (`pip install 'bandpo[math]'`).

    >>> bandpo.rewards.math_reward([r"Thus \boxed{0.5}", "Answer: 3"], answer=[r"\frac{1}{2}", "4"])
    [1.0, 0.0]
    """
    return _rewards(shared_grader("math-verify"), completions, answer, (1.0, 0.0), "math_reward", kwargs)


def answer_line_reward(completions: Sequence[Any], answer: Sequence[Any], **kwargs: Any) -> list[float]:
    """1.0 where the last "Answer:" line is the reference after clean-up, else -1.0: the rule of the paper's runs.

    Same arguments as `math_reward`, which knows that 1/2 is 0.5; this one does not.

    >>> bandpo.rewards.answer_line_reward(["Answer: 34", "Answer: 34.0"], answer=["34", "34"])
    [1.0, -1.0]
    """
    return _rewards(shared_grader("answer-line"), completions, answer, (1.0, -1.0), "answer_line_reward", kwargs)


def math_rewarder(
    rule: str = "math-verify", *, correct: float = 1.0, wrong: float = 0.0, **limits: Any
) -> Callable[..., list[float]]:
    """A reward function in TRL's signature with a rule, reward values and limits of one's own.

    Args:
        rule: "math-verify" or "answer-line".
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
    rule: str = "math-verify",
    correct: float = 1.0,
    wrong: float | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """verl's reward function: score, whether correct, the answer found and whether it was refused.

    Args:
        data_source, extra_info: verl's, not looked at.
        solution_str: the decoded response.
        ground_truth: the reference answer.
        rule: "math-verify" or "answer-line"; verl hands over `reward_kwargs`.
        correct, wrong: the scores; `wrong` is 0, or -1 under the "answer-line" rule.
        kwargs: what newer versions of verl hand over besides.

    Raises:
        ValueError: an unknown rule, an empty reference.

    >>> bandpo.rewards.compute_score("math", r"Thus \\boxed{34}", "34")
    {'score': 1.0, 'acc': True, 'pred': '34', 'refused': 0.0}
    """
    grader = shared_grader(rule)
    [verdict] = grader.grade([solution_str], [str(ground_truth)])
    _report("compute_score", [verdict])
    wrong = wrong if wrong is not None else -1.0 if rule == "answer-line" else 0.0
    return {
        "score": correct if verdict.is_correct else wrong,
        "acc": verdict.is_correct,
        "pred": verdict.answer,
        "refused": float(verdict.refused is not None),
    }


def shared_grader(rule: str = "math-verify") -> Grader:
    """This process's grader of a rule, with the limits of the environment.

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


def completion_text(completion: Any) -> str:
    """The text of a completion: itself, or the content of its last message.

    Raises:
        TypeError: neither text nor chat messages.

    >>> from bandpo.rewards.functions import completion_text
    >>> completion_text([{"role": "assistant", "content": "four"}])
    'four'
    """
    if isinstance(completion, str):
        return completion
    if isinstance(completion, list) and all(isinstance(message, dict) for message in completion):
        content = completion[-1].get("content") if completion else ""
        if isinstance(content, list):
            return "".join(part.get("text") or "" for part in content)
        return content or ""
    raise TypeError(f"completion={completion!r}: expected text or chat messages")


def _rewards(
    grader: Grader,
    completions: Sequence[Any],
    answer: Sequence[Any],
    values: tuple[float, float],
    name: str,
    kwargs: dict,
) -> list[float]:
    verdicts = grader.grade([completion_text(completion) for completion in completions], list(map(_reference, answer)))
    _report(name, verdicts, kwargs.get("log_metric"))
    return [values[0] if verdict.is_correct else values[1] for verdict in verdicts]


def _reference(answer: Any) -> str:
    return "" if answer is None else str(answer)


def _report(name: str, verdicts: Sequence[Verdict], log_metric: Callable[[str, float], None] | None = None) -> None:
    """Say how many answers were refused: a warning in the log, and a metric where the trainer takes one."""
    refused = [verdict.refused for verdict in verdicts if verdict.refused]
    if refused:
        reasons = ", ".join(f"{reason} {refused.count(reason)}" for reason in sorted(set(refused)))
        logger.warning("%s: %d of %d answers refused (%s)", name, len(refused), len(verdicts), reasons)
    if log_metric is not None and verdicts:
        log_metric(f"{name}/refused", len(refused) / len(verdicts))
