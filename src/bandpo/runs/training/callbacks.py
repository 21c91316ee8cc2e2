"""What a run does beside training: files that grow, checkpoints where it can resume exactly, a progress bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from accelerate import PartialState
from transformers import ProgressCallback, TrainerCallback

from bandpo.runs.training.rollouts import batches_per_rollout, updates_per_rollout
from bandpo.store.folder import EVALUATIONS, METRICS, RunFolder
from bandpo.store.progress import Bar


class RunView(TrainerCallback):
    """What shows a run while it goes on: a callback of the trainer's, entered for the time of training."""

    def __enter__(self) -> RunView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def evaluated(self, scores: Mapping[str, Any]) -> None:
        """Take note of scores on the held-out problems, with the `step` they are of."""


class Recorder(TrainerCallback):
    """A callback that writes metrics as they come, and has checkpoints written where a run can resume exactly.

    Args:
        folder: of the run.
        evaluate_every: rollouts between evaluations.
        evaluate: (model, trainer state) -> scores, None where there are no held-out problems.
        checkpoint: that the run resumes from, None at the start.
        kept_checkpoints: how many are kept, None for all.
        view: is told the scores, if there is one.
    """

    def __init__(
        self,
        folder: RunFolder,
        evaluate_every: int,
        evaluate: Callable[[Any, Any], dict[str, Any]] | None,
        checkpoint: str | None,
        kept_checkpoints: int | None,
        view: RunView | None = None,
    ):
        self.folder, self.evaluate_every, self.evaluate = folder, evaluate_every, evaluate
        self.checkpoint, self.kept_checkpoints, self.view = checkpoint, kept_checkpoints, view
        self.save_is_due = False

    def on_train_begin(self, args, state, control, model=None, train_dataloader=None, **_):
        _prepare_rows(train_dataloader, epochs_begun=int(state.epoch or 0))
        if state.is_world_process_zero:
            self.folder.rewind(self.checkpoint)
            for scores in self.folder.read(EVALUATIONS):
                self._tell(scores)
            if state.global_step == 0:
                self._evaluate(state, model)

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self.folder.append(METRICS, [{"step": state.global_step, **logs}])

    def on_step_end(self, args, state, control, *, train_dataloader, model=None, **_):
        if state.is_world_process_zero:
            self.folder.check()
        self._choose_save(args, state, control, train_dataloader)
        period = self.evaluate_every * updates_per_rollout(args)
        last = state.global_step >= state.max_steps
        if state.is_world_process_zero and (last or state.global_step % period == 0):
            self._evaluate(state, model)

    def on_epoch_end(self, args, state, control, *, train_dataloader, **_):
        self._choose_save(args, state, control, train_dataloader)

    def on_save(self, args, state, control, **_):
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            self.folder.seal_checkpoint(state.global_step, args.world_size, self.kept_checkpoints)

    def _choose_save(self, args: Any, state: Any, control: Any, loader: Any) -> None:
        """Put a checkpoint off to the end of the rollout, after which no answers are kept in memory.

        What is logged over several steps is logged before it, for a resumed run has none of it. The last step writes
        no checkpoint, since `model/` follows: transformers would train one step more from it.
        """
        self.save_is_due |= control.should_save
        is_between_rollouts = round(state.epoch * len(loader)) % batches_per_rollout(args) == 0
        control.should_save = self.save_is_due and is_between_rollouts and state.global_step < state.max_steps
        if control.should_save:
            self.save_is_due, control.should_log = False, True

    def _evaluate(self, state: Any, model: Any) -> None:
        if self.evaluate is not None:
            scores = {"step": state.global_step, **self.evaluate(model, state)}
            self.folder.append(EVALUATIONS, [scores])
            self._tell(scores)

    def _tell(self, scores: Mapping[str, Any]) -> None:
        if self.view is not None:
            self.view.evaluated(scores)


def _prepare_rows(loader: Any, epochs_begun: int) -> None:
    """Draw the orders of the epochs before a checkpoint, which TRL's sampler would repeat, and move no text."""
    batches = getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler)
    for _ in range(epochs_begun):
        next(iter(batches.sampler), None)
    loader.device = None


class Progress(RunView, ProgressCallback):
    """The trainer's progress bar with reward, entropy and clipped share beside it instead of lines of numbers."""

    def on_train_begin(self, args, state, control, **_):
        if state.is_world_process_zero:
            self.training_bar = Bar(total=state.max_steps, desc="updates", dynamic_ncols=True)
        self.current_step = 0

    def on_log(self, args, state, control, logs=None, **_):
        shown = {"reward": "reward", "entropy": "entropy", "clipped": "band/clip"}
        values = {label: shown_number(logs[name]) for label, name in shown.items() if logs and name in logs}
        if values and self.training_bar is not None:
            self.training_bar.set_postfix(values)


def shown_number(value: Any) -> str:
    """Return a metric for people, an en dash where there is none (a reward that applied to no answer).

    >>> shown_number(0.5), shown_number(None), shown_number(float("nan"))
    ('0.500', '–', '–')
    """
    return "–" if value is None or math.isnan(float(value)) else f"{float(value):.3f}"
