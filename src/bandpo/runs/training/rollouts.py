"""How a run's numbers hang together: micro-batches, updates and prompts of a rollout."""

from __future__ import annotations

import math

from bandpo.engines.trl import BandGRPOConfig


def batches_per_rollout(args: BandGRPOConfig) -> int:
    """Return the micro-batches made from one generated batch, over all its iterations."""
    return args.num_iterations * (args.steps_per_generation or 1)


def updates_per_rollout(args: BandGRPOConfig) -> int:
    """Return after how many optimizer steps a rollout and an update end together.

    One rollout's where its batches divide evenly.
    """
    return math.lcm(batches_per_rollout(args), args.gradient_accumulation_steps) // args.gradient_accumulation_steps


def answers_per_rollout(args: BandGRPOConfig) -> int:
    """Return the answers of one rollout, over all processes."""
    return args.per_device_train_batch_size * (args.steps_per_generation or 1) * max(1, args.world_size)


def prompts_per_rollout(args: BandGRPOConfig) -> int:
    """Return the different prompts of one rollout, over all processes."""
    return max(1, answers_per_rollout(args) // (args.num_generations or 1))


def prompts_needed(args: BandGRPOConfig) -> int:
    """Return the prompts that `max_steps` optimizer steps use, each once; of 150 rollouts where epochs are counted."""
    batches = args.max_steps * args.gradient_accumulation_steps
    rollouts = -(-batches // batches_per_rollout(args)) if args.max_steps > 0 else 150
    return rollouts * answers_per_rollout(args) // (args.num_generations or 1)


def check_prompts(args: BandGRPOConfig, dataset: str, count: int) -> None:
    """Raise ValueError where a data set of `count` rows does not fill one rollout, for then nothing would be trained.

    TRL leaves out the rows that do not fill a rollout.
    """
    needed = prompts_per_rollout(args)
    if count < needed:
        raise ValueError(
            f"dataset={dataset!r} has {count} {'row' if count == 1 else 'rows'} and one rollout takes {needed} prompts "
            f"({answers_per_rollout(args)} answers by num_generations={args.num_generations}): expected as many rows, "
            "or a smaller per_device_train_batch_size or steps_per_generation"
        )
