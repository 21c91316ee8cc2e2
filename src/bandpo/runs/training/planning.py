"""A run that is ready to start: everything checked, its folder claimed, the trainer built."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import PrinterCallback, ProgressCallback
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.runs.training.arguments import RunArguments, resolved
from bandpo.runs.training.callbacks import Progress, Recorder, RunView
from bandpo.runs.training.checks import check
from bandpo.runs.training.held_out import Evaluator
from bandpo.runs.training.rewards import with_places
from bandpo.runs.training.rows import TrainingRows
from bandpo.store.checkpoints import read_manifest
from bandpo.store.endings import no_quiet_end
from bandpo.store.folder import EVALUATIONS, SAMPLES, RunFolder


@dataclass
class Plan:
    """A run that has been checked and given its folder, and is ready to start.

    Attributes:
        run, args: what it was asked for.
        folder: its own.
        trainer: TRL's, with the method.
        evaluator: of held-out problems, None where there are none.
        checkpoint: to resume from, None at the start.
        view: shows the run while it goes on.
        left_out: rows of its data that cannot be used and are left out.
    """

    run: RunArguments
    args: BandGRPOConfig
    folder: RunFolder
    trainer: BandGRPOTrainer
    evaluator: Evaluator | None
    checkpoint: str | None
    view: RunView
    left_out: int = 0

    @no_quiet_end("training")
    def execute(self) -> dict[str, Any]:
        """Train to the end and return what `result.json` holds: method, seed, scores before and after.

        Raises:
            RuntimeError: training ended before its last update; the run is not complete.
            RewardError: a reward function raised an error.
            RewardValueError: a reward function gave something else than one finite number or None for each answer.
        """
        started = time.time()
        with self.view:
            self.trainer.train(resume_from_checkpoint=self.checkpoint)
        done, asked = self.trainer.state.global_step, self.trainer.state.max_steps
        if done < asked or done == 0:
            raise RuntimeError(f"training ended after {done} of {asked} updates: the run is not complete")
        self.trainer.save_model(str(self.folder.path / "model"))
        if self.args.process_index != 0:
            return {}
        evaluations = self.folder.read(EVALUATIONS, say_damage=True)
        result = {
            "method": self.args.method,
            "hyperparameters": self.args.hyperparameters(),
            "seed": self.args.seed,
            "before": _at_step(evaluations, 0),
            "after": _at_step(evaluations, done),
            "steps": done,
            "rows_left_out": self.left_out,
            "seconds": round(time.time() - started, 1),
            "threads": torch.get_num_threads(),
        }
        if self.evaluator is not None and not (result["before"] and result["after"]):
            self.folder.say(f"{EVALUATIONS} was changed while the run went on: the result lacks a score it held")
        if self.evaluator is not None:
            self.folder.replace(SAMPLES, self.evaluator.samples())
        self.folder.finish(result)
        return result


def plan(run: RunArguments, args: BandGRPOConfig, view: RunView | None = None) -> Plan:
    """Check everything a run needs, claim its folder and build the trainer.

    Args:
        run: model, data, rewards and evaluation.
        args: the trainer's configuration, with the method; the run lives in `args.output_dir`.
        view: shows the run, where `args.disable_tqdm` is not set; a bar if not given.

    Raises:
        ValueError: as `check`, and where the folder is another process's or the trainer refuses what it is built from.
    """
    sources = check(run, args)
    train = sources.inputs.train
    folder = RunFolder(str(args.output_dir))
    with args.main_process_first(desc="run folder"):
        newest = [folder.claim(resolved(run, args), run.overwrite) if args.process_index == 0 else None]
    (checkpoint,) = broadcast_object_list(newest)
    if checkpoint is not None:
        _check_checkpoint(checkpoint, args)

    rewards = [with_places(reward, dotted, train.place) for dotted, reward in sources.rewards]
    trainer = BandGRPOTrainer(
        sources.model, rewards, args, train_dataset=train.data, processing_class=sources.tokenizer
    )
    _check_model(trainer, is_evaluated=sources.evaluator is not None)
    trainer.train_dataset = TrainingRows(train.data)
    view = RunView() if args.disable_tqdm else view or Progress()
    trainer.add_callback(
        Recorder(folder, run.evaluate_every, sources.evaluator, checkpoint, args.save_total_limit, view)
    )
    # The trainer would remove an old checkpoint before the new one has its manifest, and folders that are not its own.
    trainer.args.save_total_limit = None
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(view)
    return Plan(run, args, folder, trainer, sources.evaluator, checkpoint, view, sources.inputs.left_out)


def _at_step(evaluations: Sequence[Mapping[str, Any]], step: int) -> dict[str, Any] | None:
    """Return the evaluation at a step, NaN for a score of no answer; None where the file lost it during the run."""
    scores = next((evaluation for evaluation in evaluations if evaluation.get("step") == step), None)
    return None if scores is None else {name: math.nan if value is None else value for name, value in scores.items()}


def _check_model(trainer: BandGRPOTrainer, is_evaluated: bool) -> None:
    if is_evaluated and (trainer.is_fsdp_enabled or is_deepspeed_zero3_enabled()):
        raise ValueError(
            "evaluation needs the whole model in one process: expected no eval_dataset under FSDP or ZeRO-3"
        )


def _check_checkpoint(checkpoint: str, args: BandGRPOConfig) -> None:
    processes = read_manifest(Path(checkpoint))["processes"]
    if processes != args.world_size:
        raise ValueError(f"{checkpoint} was written by {processes} processes, now {args.world_size}: expected as many")
    if args.sync_ref_model:
        raise ValueError(
            f"sync_ref_model=True: {checkpoint} does not hold the reference model, --overwrite starts anew"
        )
