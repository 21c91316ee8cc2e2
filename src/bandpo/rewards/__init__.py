"""Floor 3, rewards: graded mathematics for TRL and verl, in processes that cannot hang a run."""

from bandpo.rewards.functions import answer_line_reward, compute_score, math_reward, math_rewarder, shared_grader
from bandpo.rewards.grading import Grader, Statistics, Verdict

__all__ = [
    "Grader",
    "Statistics",
    "Verdict",
    "answer_line_reward",
    "compute_score",
    "math_reward",
    "math_rewarder",
    "shared_grader",
]
