"""Training runs: `BandGRPOTrainer` on any model, data and reward, in a folder that records and resumes.

The trainer, its loop and its checkpoints are TRL's. This file adds what a run needs around them: sources by name, the
run folder, evaluation on held-out problems between rollouts, and a progress bar.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoTokenizer, PrinterCallback, ProgressCallback, TrainerCallback

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.runs.evaluation import Evaluation, evaluate
from bandpo.runs.folder import EVALUATIONS, METRICS, SAMPLES, RunFolder
from bandpo.runs.sources import dataset_source, model_source, reward_source
from bandpo.tasks import TASKS


@dataclass
class RunArguments:
    """What a run is about; everything else is a field of `BandGRPOConfig`."""

    model: str = field(default="countdown", metadata={"help": "Folder, Hub id or embedded task to start from."})
    dataset: str = field(default="countdown", metadata={"help": "File, folder, Hub id or task; needs `prompt`."})
    dataset_split: str = field(default="train", metadata={"help": "Split of a Hub data set."})
    reward: list[str] = field(
        default_factory=lambda: ["bandpo.tasks.countdown.reward"], metadata={"help": "Dotted reward functions."}
    )
    eval_dataset: str | None = field(default=None, metadata={"help": "Held-out problems; a task brings its own."})
    eval_samples: int = field(default=32, metadata={"help": "Answers per held-out problem."})
    eval_batch_size: int = field(default=4096, metadata={"help": "Answers generated at once in evaluation."})
    evaluate_every: int = field(default=10, metadata={"help": "Rollouts between evaluations."})
    threads: int | None = field(default=None, metadata={"help": "CPU threads of torch; 1 is best for tiny models."})
    overwrite: bool = field(default=False, metadata={"help": "Replace a run that is already in output_dir."})

    def __post_init__(self):
        self.reward = [self.reward] if isinstance(self.reward, str) else self.reward


def updates_per_rollout(args: BandGRPOConfig) -> int:
    """Optimizer steps made from one generated batch."""
    return max(1, args.num_iterations * args.steps_per_generation // args.gradient_accumulation_steps)


def resolved(run: RunArguments, args: BandGRPOConfig) -> dict[str, Any]:
    """Every option that differs from its default, in the form a recipe has."""
    default = BandGRPOConfig(output_dir=args.output_dir, use_cpu=args.use_cpu, bf16=args.bf16)
    changed = {
        f.name: getattr(args, f.name)
        for f in dataclasses.fields(args)
        if f.init and getattr(args, f.name) != getattr(default, f.name)
    }
    derived = ("generation_batch_size", "activation_checkpointing")
    kept = {n: v for n, v in changed.items() if isinstance(v, (str, int, float, list, dict)) and n not in derived}
    named = {"use_cpu": args.use_cpu, "bf16": args.bf16, "method": args.method}
    about = {n: v for n, v in dataclasses.asdict(run).items() if n != "overwrite"}
    return {**about, **named, **{n: getattr(v, "value", v) for n, v in kept.items()}}


def check_settings(run: RunArguments, args: BandGRPOConfig) -> None:
    """Raise ValueError for settings under which a run could not keep its promises.

    A checkpoint between two rollouts resumes exactly; one inside a rollout would draw new answers in the middle.
    """
    period = updates_per_rollout(args)
    if args.save_strategy == "steps" and args.save_steps % period:
        raise ValueError(
            f"save_steps={args.save_steps}: expected a multiple of {period}, the updates made from one rollout, "
            "so that a resumed run equals an unbroken one"
        )
    for name in ("eval_samples", "eval_batch_size", "evaluate_every"):
        if getattr(run, name) < 1:
            raise ValueError(f"{name}={getattr(run, name)}: expected at least 1")


class _Recorder(TrainerCallback):
    """Writes metrics and evaluations to the run folder as they come."""

    def __init__(self, folder: RunFolder, run: RunArguments, evaluator: _Evaluator | None):
        self.folder, self.run, self.evaluator = folder, run, evaluator

    def on_train_begin(self, args, state, control, model=None, **_):
        if state.is_world_process_zero:
            self.folder.rewind(state.global_step)
            if state.global_step == 0:
                self._evaluate(0, model)

    def on_log(self, args, state, control, logs=None, **_):
        if state.is_world_process_zero and logs:
            self.folder.append(METRICS, [{"step": state.global_step, **logs}])

    def on_step_end(self, args, state, control, model=None, **_):
        period = self.run.evaluate_every * updates_per_rollout(args)
        last = state.global_step >= state.max_steps
        if state.is_world_process_zero and (last or state.global_step % period == 0):
            self._evaluate(state.global_step, model)

    def _evaluate(self, step: int, model: Any) -> None:
        if self.evaluator is not None:
            self.folder.append(EVALUATIONS, [{"step": step, **self.evaluator(model)}])


class _Evaluator:
    """Scores a model on the held-out problems, always with the same sampling seed."""

    def __init__(self, run: RunArguments, args: BandGRPOConfig, tokenizer: Any, reward: Any):
        self.run, self.args, self.tokenizer, self.reward = run, args, tokenizer, reward
        name = run.eval_dataset or run.dataset
        self.task = TASKS.get(name)
        self.columns: Mapping[str, Sequence[Any]] = (
            self.task.held_out() if self.task else dataset_source(name, "test", count=0, seed=0).to_dict()
        )
        self.latest: Evaluation | None = None

    def __call__(self, model: Any) -> dict[str, float]:
        self.latest = evaluate(
            getattr(model, "module", model),
            self.tokenizer,
            self.columns,
            self.reward,
            samples=self.run.eval_samples,
            max_new_tokens=self.args.max_completion_length or 256,
            temperature=self.args.temperature,
            batch_size=self.run.eval_batch_size,
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


class _Progress(ProgressCallback):
    """The trainer's progress bar with reward, entropy and clipped share beside it instead of lines of numbers."""

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
            self.folder.append(SAMPLES, self.evaluator.samples())
        self.folder.finish(result)
        return result


def plan(run: RunArguments, args: BandGRPOConfig) -> Plan:
    """Check everything a run needs, claim its folder and build the trainer.

    Args:
        run: model, data, rewards and evaluation.
        args: the trainer's configuration, with the method; the run lives in `args.output_dir`.

    Raises:
        ValueError: a source that does not exist, a folder that holds another run, settings that contradict.
    """
    check_settings(run, args)
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    rewards = [reward_source(dotted) for dotted in run.reward]
    source = model_source(run.model)
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    data = dataset_source(run.dataset, run.dataset_split, count=_problems_needed(args), seed=args.seed)

    folder, is_main = RunFolder(str(args.output_dir)), args.process_index == 0
    with args.main_process_first(desc="run folder"):
        checkpoint = folder.claim(resolved(run, args), run.overwrite) if is_main else folder.last_checkpoint()
    has_held_out = is_main and (run.eval_dataset is not None or run.dataset in TASKS)
    evaluator = _Evaluator(run, args, tokenizer, rewards[0]) if has_held_out else None

    trainer = BandGRPOTrainer(source, rewards, args, train_dataset=data, processing_class=tokenizer)
    trainer.add_callback(_Recorder(folder, run, evaluator))
    trainer.remove_callback(PrinterCallback)
    if not args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(_Progress)
    return Plan(run, args, folder, trainer, evaluator, checkpoint)


def _problems_needed(args: BandGRPOConfig) -> int:
    """Prompts that `max_steps` optimizer steps consume, each once; of 150 rollouts where the length is in epochs."""
    answers = args.per_device_train_batch_size * args.steps_per_generation * max(1, args.world_size)
    rollouts = -(-args.max_steps // updates_per_rollout(args)) if args.max_steps > 0 else 150
    return rollouts * answers // args.num_generations
