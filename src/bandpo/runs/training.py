"""Training runs: `BandGRPOTrainer` on any model, data and reward, in a folder that records and resumes.

The trainer, its loop and its checkpoints are TRL's. This file adds what a run needs around them: sources by name, the
run folder, evaluation on held-out problems between rollouts, checkpoints between rollouts only, and a progress bar.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, ProgressCallback
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.runs.arguments import RunArguments, check_settings, resolved
from bandpo.runs.callbacks import Progress, Recorder
from bandpo.runs.folder import EVALUATIONS, SAMPLES, RunFolder
from bandpo.runs.held_out import Evaluator
from bandpo.runs.inputs import read_inputs
from bandpo.runs.rewards import with_places
from bandpo.runs.rollouts import updates_per_rollout
from bandpo.runs.rows import TrainingRows
from bandpo.runs.sources import model_source, reward_source
from bandpo.tasks import TASKS

__all__ = ["Plan", "RunArguments", "plan", "resolved", "updates_per_rollout"]


@dataclass
class Plan:
    """A run that has been checked and given its folder, and is ready to start.

    Attributes:
        run, args: what it was asked for.
        folder: its own.
        trainer: TRL's, with the method.
        evaluator: of held-out problems, None where there are none.
        checkpoint: to resume from, None at the start.
        left_out: rows of its data that cannot be used and are left out.
    """

    run: RunArguments
    args: BandGRPOConfig
    folder: RunFolder
    trainer: BandGRPOTrainer
    evaluator: Evaluator | None
    checkpoint: str | None
    left_out: int = 0

    def execute(self) -> dict[str, Any]:
        """Train to the end and return what `result.json` holds: method, seed, scores before and after.

        Raises:
            RuntimeError: training ended before its last update; the run is not complete.
            RewardError: a reward function raised an error.
            ValueError: a reward function gave something else than one finite number or None for each answer.
        """
        started = time.time()
        self.trainer.train(resume_from_checkpoint=self.checkpoint)
        done, asked = self.trainer.state.global_step, self.trainer.state.max_steps
        if done < asked or done == 0:
            raise RuntimeError(f"training ended after {done} of {asked} updates: the run is not complete")
        self.trainer.save_model(str(self.folder.path / "model"))
        if self.args.process_index != 0:
            return {}
        evaluations = self.folder.read(EVALUATIONS)
        result = {
            "method": self.args.method,
            "hyperparameters": self.args.hyperparameters(),
            "seed": self.args.seed,
            "before": _scores(evaluations[0]) if evaluations else None,
            "after": _scores(evaluations[-1]) if evaluations else None,
            "steps": done,
            "rows_left_out": self.left_out,
            "seconds": round(time.time() - started, 1),
            "threads": torch.get_num_threads(),
        }
        if self.evaluator is not None:
            self.folder.replace(SAMPLES, self.evaluator.samples())
        self.folder.finish(result)
        return result


def plan(run: RunArguments, args: BandGRPOConfig) -> Plan:
    """Check everything a run needs, claim its folder and build the trainer.

    Args:
        run: model, data, rewards and evaluation.
        args: the trainer's configuration, with the method; the run lives in `args.output_dir`.

    Raises:
        ValueError: a source that does not exist, a folder that holds another run, settings that contradict, fewer
            prompts than one rollout takes; or `BadRows`, rows that cannot be used.
    """
    check_settings(run, args)
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    rewards = [(dotted, reward_source(dotted)) for dotted in run.reward]
    source, tokenizer = model_source(run.model)
    is_main = args.process_index == 0
    has_held_out = is_main and (run.eval_dataset is not None or run.dataset in TASKS)
    inputs = read_inputs(run, args, rewards, is_evaluated=has_held_out)
    evaluator = None
    if inputs.held_out is not None:
        sizes = {"samples": run.eval_samples, "batch_size": run.eval_batch_size}
        evaluator = Evaluator(args, tokenizer, rewards[0][1], inputs.held_out, **sizes)

    folder = RunFolder(str(args.output_dir))
    with args.main_process_first(desc="run folder"):
        checkpoint = folder.claim(resolved(run, args), run.overwrite) if is_main else folder.last_checkpoint()
    if checkpoint is not None:
        _check_checkpoint(checkpoint, args)

    data = inputs.train.data
    named = [with_places(reward, dotted, inputs.train.place) for dotted, reward in rewards]
    trainer = BandGRPOTrainer(source, named, args, train_dataset=data, processing_class=tokenizer)
    _check_model(trainer, is_evaluated=evaluator is not None)
    trainer.train_dataset = TrainingRows(data)
    trainer.add_callback(Recorder(folder, run.evaluate_every, evaluator))
    trainer.remove_callback(PrinterCallback)
    if not args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(Progress)
    return Plan(run, args, folder, trainer, evaluator, checkpoint, inputs.left_out)


def _scores(evaluation: dict[str, Any]) -> dict[str, Any]:
    """An evaluation as it was before JSON, which has no NaN: a score of no answer."""
    return {name: math.nan if value is None else value for name, value in evaluation.items()}


def _check_model(trainer: BandGRPOTrainer, is_evaluated: bool) -> None:
    positions, longest = (
        getattr(trainer.model.config, "max_position_embeddings", None),
        trainer.args.max_completion_length,
    )
    if positions is not None and longest is not None and longest >= positions:
        raise ValueError(f"max_completion_length={longest}: expected less than {positions}, the model's positions")
    if is_evaluated and (trainer.is_fsdp_enabled or is_deepspeed_zero3_enabled()):
        raise ValueError(
            "evaluation needs the whole model in one process: expected no eval_dataset under FSDP or ZeRO-3"
        )


def _check_checkpoint(checkpoint: str, args: BandGRPOConfig) -> None:
    processes = len(list(Path(checkpoint).glob("rng_state*.pth")))
    if processes != args.world_size:
        raise ValueError(f"{checkpoint} was written by {processes} processes, now {args.world_size}: expected as many")
    if args.sync_ref_model:
        raise ValueError(
            f"sync_ref_model=True: {checkpoint} does not hold the reference model, --overwrite starts anew"
        )
