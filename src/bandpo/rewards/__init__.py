"""Graded mathematics for TRL and verl, by a reader that pays for nothing it does not understand."""

from bandpo.rewards.functions import (
    answer_line_reward,
    check_reference,
    compute_score,
    math_reward,
    math_rewarder,
    shared_grader,
)
from bandpo.rewards.grading import Grader, Statistics, Verdict

__all__ = [
    "Grader",
    "Statistics",
    "Verdict",
    "answer_line_reward",
    "check_reference",
    "compute_score",
    "math_reward",
    "math_rewarder",
    "shared_grader",
]
