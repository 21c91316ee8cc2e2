"""Training runs: `BandGRPOTrainer` on any model, data and reward, in a folder that records and resumes.

The trainer, its loop and its checkpoints are TRL's. What a run needs around them stands here: sources by name, the run
folder, evaluation on held-out problems between rollouts, checkpoints between rollouts only, and a progress bar.
"""

from bandpo.runs.training.arguments import RunArguments, resolved
from bandpo.runs.training.callbacks import RunView
from bandpo.runs.training.checks import Sources, check
from bandpo.runs.training.planning import Plan, plan
from bandpo.runs.training.rollouts import updates_per_rollout

__all__ = ["Plan", "RunArguments", "RunView", "Sources", "check", "plan", "resolved", "updates_per_rollout"]
