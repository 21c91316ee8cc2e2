"""What a run is asked for: its options beside the trainer's, what is recorded of them, what is refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import get_scheduler
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from bandpo.core.checks import suggestion
from bandpo.data.reading import has_splits, split_names
from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training.rollouts import prompts_needed
from bandpo.tasks import TASKS

_MOST = {"eval_samples": 10**6, "eval_batch_size": 10**9, "evaluate_every": 10**9, "threads": 4096}
_BY_EVALUATE_EVERY = "held-out problems are evaluated every `evaluate_every` rollouts"
# Options of transformers that a run does not read, and what there is in their place.
_UNREAD = {
    "resume_from_checkpoint": "a run goes on from the newest whole checkpoint of its own output_dir",
    "restore_callback_states_from_checkpoint": "a run restores all that it needs",
    "eval_strategy": _BY_EVALUATE_EVERY,
    "eval_on_start": _BY_EVALUATE_EVERY,
    "eval_steps": _BY_EVALUATE_EVERY,
    "do_train": "`bandpo train` trains and evaluates",
    "do_eval": _BY_EVALUATE_EVERY,
    "do_predict": "`bandpo eval` answers problems",
    "push_to_hub": "the model is written to output_dir/model",
}
# Options of a start, not of the run: a resumed one may have others.
_OF_ONE_START = ("live_view", "overwrite")
# An embedded task makes its problems before training: ten million take minutes and gigabytes.
_MOST_PROBLEMS = 10_000_000


@dataclass
class RunArguments:
    """The subject of a run; everything else is a field of `BandGRPOConfig`."""

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
    skip_bad_rows: bool = field(
        default=False, metadata={"help": "Leave out rows that cannot be used, and say how many."}
    )
    live_view: bool = field(
        default=True, metadata={"help": "Curves and shares of stopped tokens on a terminal; false for a bar."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Start anew; a run in output_dir moves to NAME.old-1."})

    def __post_init__(self):
        self.reward = [self.reward] if isinstance(self.reward, str) else self.reward
        if not self.reward:
            raise ValueError("reward=[]: expected a function's dotted path, or several")
        for name, most in _MOST.items():
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise ValueError(f"{name}={value}: expected at least 1, at most {most:,}")


def resolved(run: RunArguments, args: BandGRPOConfig) -> dict[str, Any]:
    """Return every option that differs from its default, in the form a recipe has that is laid over no other."""
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
    about = {n: v for n, v in dataclasses.asdict(run).items() if n not in _OF_ONE_START}
    return {"recipe": "none", **about, **named, **{n: getattr(v, "value", v) for n, v in kept.items()}}


def check_settings(run: RunArguments, args: BandGRPOConfig) -> None:
    """Raise ValueError for settings under which a run could not keep its promises."""
    _check_split(run)
    _refuse_unread(args)
    _check_schedule(args)
    try:
        get_reporting_integration_callbacks(args.report_to)
    except ValueError as error:
        raise ValueError(f"report_to={args.report_to!r}: {error}") from None
    if run.dataset not in TASKS and run.reward == RunArguments().reward:
        near = suggestion(run.dataset, TASKS)
        raise ValueError(
            f"dataset={run.dataset!r} needs a reward: expected --reward with a function's dotted path{near}"
        )
    if args.reward_weights is not None and len(args.reward_weights) != len(run.reward):
        weights, rewards = len(args.reward_weights), len(run.reward)
        raise ValueError(f"reward_weights has {weights} numbers and reward {rewards} functions: expected as many")
    needed = prompts_needed(args)
    if run.dataset in TASKS and needed > _MOST_PROBLEMS:
        raise ValueError(
            f"dataset={run.dataset!r}: {needed:,} problems for these steps and batches, expected {_MOST_PROBLEMS:,} "
            "at most"
        )
    for name in ("save_only_model", "ignore_data_skip"):
        if getattr(args, name):
            raise ValueError(f"{name}=True: expected False, so that a resumed run equals an unbroken one")
    if args.save_strategy == "best":
        raise ValueError("save_strategy='best': expected 'steps', 'epoch' or 'no', a run keeps its newest checkpoints")


def _check_split(run: RunArguments) -> None:
    """Raise ValueError at a split of a data set without splits."""
    if run.dataset_split == RunArguments.dataset_split:
        return
    for name in split_names(run.dataset) or [run.dataset]:
        if name in TASKS or not has_splits(name):
            raise ValueError(f"dataset_split={run.dataset_split!r}: dataset={name!r} has no splits, expected no split")


def _check_schedule(args: BandGRPOConfig) -> None:
    """Raise ValueError where the schedule of the learning rate takes no such options."""
    unused = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    given: Any = args.lr_scheduler_kwargs or {}
    try:
        get_scheduler(args.lr_scheduler_type, unused, 0, max(args.max_steps, 1), given)
    except (TypeError, ValueError, AttributeError) as error:
        kind = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
        raise ValueError(f"lr_scheduler_type={kind!r}, lr_scheduler_kwargs={given!r}: {error}") from None


def _refuse_unread(args: BandGRPOConfig) -> None:
    for name, instead in _UNREAD.items():
        value = getattr(args, name, None)
        if value != getattr(BandGRPOConfig, name, None):
            raise ValueError(f"{name}={getattr(value, 'value', value)!r} has no effect in a run: {instead}")
