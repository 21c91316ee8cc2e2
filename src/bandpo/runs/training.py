"""Training runs: `BandGRPOTrainer` on any model, data and reward, in a folder that records and resumes.

The trainer, its loop and its checkpoints are TRL's. This file adds what a run needs around them: sources by name, the
run folder, evaluation on held-out problems between rollouts, checkpoints between rollouts only, and a progress bar.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import AutoConfig, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from bandpo.data.reading import first_line
from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.rewards.functions import grader_limits
from bandpo.runs.checkpoints import read_manifest
from bandpo.runs.evaluation import Evaluation, evaluate
from bandpo.runs.folder import EVALUATIONS, METRICS, SAMPLES, RunFolder
from bandpo.runs.sources import dataset_source, model_source, reward_source
from bandpo.tasks import TASKS
from bandpo.views.progress import Bar

# An embedded task makes its problems before training: ten million take minutes and gigabytes.
_MOST_PROBLEMS = 10_000_000


@dataclass
class RunArguments:
    """What a run is about; everything else is a field of `BandGRPOConfig`."""

    model: str = field(default="countdown", metadata={"help": "Folder, Hub id or embedded task to start from."})
    dataset: str = field(default="countdown", metadata={"help": "File, folder, Hub id or task; needs `prompt`."})
    dataset_split: str = field(default="train", metadata={"help": "Split of a Hub data set."})
    reward: list[str] = field(
        default_factory=lambda: ["bandpo.tasks.countdown.reward"],
        metadata={"help": "Dotted reward functions; the first one grades evaluations."},
    )
    eval_dataset: str | None = field(default=None, metadata={"help": "Held-out problems; a task brings its own."})
    eval_samples: int = field(default=32, metadata={"help": "Answers per held-out problem."})
    eval_batch_size: int = field(default=4096, metadata={"help": "Answers generated at once in evaluation."})
    evaluate_every: int = field(default=10, metadata={"help": "Rollouts between evaluations."})
    threads: int | None = field(default=None, metadata={"help": "CPU threads of torch; 1 is best for tiny models."})
    overwrite: bool = field(default=False, metadata={"help": "Start anew; a run in output_dir moves to NAME.old-1."})

    def __post_init__(self):
        self.reward = [self.reward] if isinstance(self.reward, str) else self.reward


def batches_per_rollout(args: BandGRPOConfig) -> int:
    """Micro-batches made from one generated batch, over all its iterations."""
    return args.num_iterations * (args.steps_per_generation or 1)


def updates_per_rollout(args: BandGRPOConfig) -> int:
    """Optimizer steps after which a rollout and an update end together; one rollout where its batches divide evenly."""
    return math.lcm(batches_per_rollout(args), args.gradient_accumulation_steps) // args.gradient_accumulation_steps


def resolved(run: RunArguments, args: BandGRPOConfig) -> dict[str, Any]:
    """Every option that differs from its default, in the form a recipe has that is laid over no other."""
    default = BandGRPOConfig(output_dir=args.output_dir, use_cpu=args.use_cpu, bf16=args.bf16)
    changed = {
        f.name: getattr(args, f.name)
        for f in dataclasses.fields(args)
        if f.init and getattr(args, f.name) != getattr(default, f.name)
    }
    derived = ("generation_batch_size", "activation_checkpointing")
    writable = (str, int, float, list, dict, type(None))
    kept = {n: v for n, v in changed.items() if isinstance(v, writable) and n not in derived}
    named = {"use_cpu": args.use_cpu, "bf16": args.bf16, "method": args.method}
    about = {n: v for n, v in dataclasses.asdict(run).items() if n != "overwrite"}
    return {"recipe": "none", **about, **named, **{n: getattr(v, "value", v) for n, v in kept.items()}}


def check_settings(run: RunArguments, args: BandGRPOConfig) -> None:
    """Raise ValueError for settings under which a run could not keep its promises."""
    for name in ("eval_samples", "eval_batch_size", "evaluate_every", "threads"):
        value = getattr(run, name)
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: expected at least 1")
    if run.dataset not in TASKS and run.reward == RunArguments().reward:
        raise ValueError(f"dataset={run.dataset!r} needs a reward: expected --reward with a function's dotted path")
    if args.reward_weights is not None and len(args.reward_weights) != len(run.reward):
        weights, rewards = len(args.reward_weights), len(run.reward)
        raise ValueError(f"reward_weights has {weights} numbers and reward {rewards} functions: expected as many")
    needed = _problems_needed(args)
    if run.dataset in TASKS and needed > _MOST_PROBLEMS:
        raise ValueError(
            f"dataset={run.dataset!r}: {needed:,} problems for these steps and batches, expected {_MOST_PROBLEMS:,} "
            "at most"
        )
    for name in ("save_only_model", "ignore_data_skip"):
        if getattr(args, name):
            raise ValueError(f"{name}=True: expected False, so that a resumed run equals an unbroken one")


class _Recorder(TrainerCallback):
    """Writes metrics and evaluations as they come, and has checkpoints written where a run can resume exactly."""

    def __init__(
        self,
        folder: RunFolder,
        run: RunArguments,
        evaluator: _Evaluator | None,
        checkpoint: str | None,
        kept_checkpoints: int | None,
    ):
        self.folder, self.run, self.evaluator = folder, run, evaluator
        self.checkpoint, self.kept_checkpoints = checkpoint, kept_checkpoints
        self.save_is_due = False

    def on_train_begin(self, args, state, control, model=None, train_dataloader=None, **_):
        _prepare_rows(train_dataloader, epochs_begun=int(state.epoch or 0))
        if state.is_world_process_zero:
            self.folder.rewind(self.checkpoint)
            if state.global_step == 0:
                self._evaluate(state, model)

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and logs and "train_runtime" not in logs:
            self.folder.append(METRICS, [{"step": state.global_step, **logs}])

    def on_step_end(self, args, state, control, *, train_dataloader, model=None, **_):
        if state.is_world_process_zero:
            self.folder.check()
        self._choose_save(args, state, control, train_dataloader)
        period = self.run.evaluate_every * updates_per_rollout(args)
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
        if self.evaluator is not None:
            self.folder.append(EVALUATIONS, [{"step": state.global_step, **self.evaluator(model, state)}])


def _prepare_rows(loader: Any, epochs_begun: int) -> None:
    """Draw the orders of the epochs before a checkpoint, which TRL's sampler would repeat, and move no text."""
    batches = getattr(loader.batch_sampler, "batch_sampler", loader.batch_sampler)
    for _ in range(epochs_begun):
        next(iter(batches.sampler), None)
    loader.device = None


class _Rows(torch.utils.data.Dataset):
    """Rows of a data set; the latest batch is kept, since TRL asks for a rollout's rows at every one of its updates."""

    def __init__(self, data: Any):
        self.data, self.indices, self.rows = data, None, []

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.data[index]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        if indices != self.indices:
            self.indices, self.rows = indices, self.data.__getitems__(indices)
        return [dict(row) for row in self.rows]


class _Evaluator:
    """Scores a model on the held-out problems, always with the same sampling seed."""

    def __init__(self, run: RunArguments, args: BandGRPOConfig, tokenizer: Any, reward: Any):
        self.run, self.args, self.tokenizer, self.reward = run, args, tokenizer, reward
        name = run.eval_dataset or run.dataset
        self.task = TASKS.get(name)
        data: Any = None if self.task else dataset_source(name, "test", option="eval_dataset")
        self.columns: Mapping[str, Sequence[Any]] = self.task.held_out() if self.task else data.to_dict()
        self.latest: Evaluation | None = None

    def __call__(self, model: Any, state: Any) -> dict[str, float]:
        template: Any = self.args.chat_template_kwargs
        self.latest = evaluate(
            getattr(model, "module", model),
            self.tokenizer,
            self.columns,
            partial(self.reward, trainer_state=state, log_extra=_log_nothing, log_metric=_log_nothing),
            samples=self.run.eval_samples,
            max_new_tokens=self.args.max_completion_length or 256,
            temperature=self.args.temperature,
            batch_size=self.run.eval_batch_size,
            chat_template_kwargs=template,
        )
        described = self.task.describe([t for texts in self.latest.texts for t in texts]) if self.task else {}
        return {**self.latest.summary(), **described}

    def samples(self, per_problem: int = 4) -> list[dict[str, Any]]:
        """A few answers of each problem from the latest evaluation."""
        if self.latest is None:
            return []
        prompts = self.columns["prompt"]
        return [
            {"prompt": prompts[i], "completion": texts[j], "reward": self.latest.rewards[i, j].item()}
            for i, texts in enumerate(self.latest.texts)
            for j in range(min(per_problem, len(texts)))
        ]


def _log_nothing(name: str, value: Any) -> None:
    """What a reward function logs in training has no place in an evaluation."""


class _Progress(ProgressCallback):
    """The trainer's progress bar with reward, entropy and clipped share beside it instead of lines of numbers."""

    def on_train_begin(self, args, state, control, **_):
        if state.is_world_process_zero:
            self.training_bar = Bar(total=state.max_steps, desc="updates", dynamic_ncols=True)
        self.current_step = 0

    def on_log(self, args, state, control, logs=None, **_):
        shown = {"reward": "reward", "entropy": "entropy", "clipped": "band/clip"}
        values = {label: f"{float(logs[name]):.3f}" for label, name in shown.items() if logs and name in logs}
        if values and self.training_bar is not None:
            self.training_bar.set_postfix(values)


@dataclass
class Plan:
    """A run that has been checked and given its folder, and is ready to start."""

    run: RunArguments
    args: BandGRPOConfig
    folder: RunFolder
    trainer: BandGRPOTrainer
    evaluator: _Evaluator | None
    checkpoint: str | None

    def execute(self) -> dict[str, Any]:
        """Train to the end and return what `result.json` holds: method, seed, scores before and after."""
        started = time.time()
        self.trainer.train(resume_from_checkpoint=self.checkpoint)
        self.trainer.save_model(str(self.folder.path / "model"))
        if self.args.process_index != 0:
            return {}
        evaluations = self.folder.read(EVALUATIONS)
        result = {
            "method": self.args.method,
            "hyperparameters": self.args.hyperparameters(),
            "seed": self.args.seed,
            "before": evaluations[0] if evaluations else None,
            "after": evaluations[-1] if evaluations else None,
            "steps": self.trainer.state.global_step,
            "seconds": round(time.time() - started, 1),
            "threads": torch.get_num_threads(),
        }
        if self.evaluator is not None:
            self.folder.replace(SAMPLES, self.evaluator.samples())
        self.folder.finish(result)
        return result


class Sources(NamedTuple):
    """What a run is made of, looked at and ready: rewards, where the model is, tokenizer, data, held-out problems."""

    rewards: list[Any]
    model: str
    tokenizer: Any
    data: Any
    evaluator: _Evaluator | None


def check(run: RunArguments, args: BandGRPOConfig) -> Sources:
    """Check everything that can be checked without loading the model's weights or touching the run's folder.

    Args:
        run: model, data, rewards and evaluation.
        args: the trainer's configuration, with the method; the run is to live in `args.output_dir`.

    Raises:
        ValueError: a source that does not exist, a folder that holds another run, settings that contradict.
    """
    check_settings(run, args)
    grader_limits()
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    rewards = [reward_source(dotted) for dotted in run.reward]
    source, tokenizer = model_source(run.model)
    _check_length(source, args)
    data = dataset_source(run.dataset, run.dataset_split, count=_problems_needed(args), seed=args.seed)
    for dotted, reward in zip(run.reward, rewards, strict=True):
        _check_columns(dotted, reward, run.dataset, data.column_names)
    is_main = args.process_index == 0
    has_held_out = is_main and (run.eval_dataset is not None or run.dataset in TASKS)
    evaluator = _Evaluator(run, args, tokenizer, rewards[0]) if has_held_out else None
    RunFolder(str(args.output_dir)).check_claim(resolved(run, args), run.overwrite)
    return Sources(rewards, source, tokenizer, data, evaluator)


def plan(run: RunArguments, args: BandGRPOConfig) -> Plan:
    """Check everything a run needs, claim its folder and build the trainer.

    Args:
        run: model, data, rewards and evaluation.
        args: the trainer's configuration, with the method; the run lives in `args.output_dir`.

    Raises:
        ValueError: as `check`, and where the folder is another process's or the trainer refuses what it is built from.
    """
    rewards, source, tokenizer, data, evaluator = check(run, args)
    is_main = args.process_index == 0
    folder = RunFolder(str(args.output_dir))
    with args.main_process_first(desc="run folder"):
        chosen = [folder.claim(resolved(run, args), run.overwrite) if is_main else None]
    (checkpoint,) = broadcast_object_list(chosen)
    if checkpoint is not None:
        _check_checkpoint(checkpoint, args)

    trainer = BandGRPOTrainer(source, rewards, args, train_dataset=data, processing_class=tokenizer)
    _check_model(trainer, is_evaluated=evaluator is not None)
    trainer.train_dataset = _Rows(data)
    trainer.add_callback(_Recorder(folder, run, evaluator, checkpoint, args.save_total_limit))
    # The trainer would remove an old checkpoint before the new one has its manifest, and folders that are not its own.
    trainer.args.save_total_limit = None
    trainer.remove_callback(PrinterCallback)
    if not args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(_Progress)
    return Plan(run, args, folder, trainer, evaluator, checkpoint)


# What TRL hands to every reward function, whatever the data set has.
_FROM_TRL = {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments"}


def _check_columns(dotted: str, reward: Any, dataset: str, columns: Sequence[str]) -> None:
    """Raise ValueError where a reward function asks by name for a column that the data set lacks."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for name, parameter in inspect.signature(reward).parameters.items():
        is_needed = parameter.kind in named and parameter.default is inspect.Parameter.empty
        if is_needed and name not in _FROM_TRL and name not in columns:
            raise ValueError(f"reward={dotted!r} needs a column {name!r}: dataset={dataset!r} has {', '.join(columns)}")


def _check_length(source: str, args: BandGRPOConfig) -> None:
    """Raise ValueError where an answer alone would fill the model's positions."""
    given = {**args.model_init_kwargs} if isinstance(args.model_init_kwargs, dict) else {}
    named = {name: given[name] for name in ("revision", "trust_remote_code") if name in given}
    try:
        config = AutoConfig.from_pretrained(source, **named)
    except (OSError, ValueError) as error:
        raise ValueError(f"model={source!r}: no configuration of a model, {first_line(error)}") from error
    positions, longest = getattr(config, "max_position_embeddings", None), args.max_completion_length
    if positions is not None and longest is not None and longest >= positions:
        raise ValueError(f"max_completion_length={longest}: expected less than {positions}, the model's positions")


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


def _problems_needed(args: BandGRPOConfig) -> int:
    """Prompts that `max_steps` optimizer steps consume, each once; of 150 rollouts where the length is in epochs."""
    answers = args.per_device_train_batch_size * (args.steps_per_generation or 1) * max(1, args.world_size)
    batches = args.max_steps * args.gradient_accumulation_steps
    rollouts = -(-batches // batches_per_rollout(args)) if args.max_steps > 0 else 150
    return rollouts * answers // (args.num_generations or 1)
