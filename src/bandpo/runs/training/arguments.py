"""What a run is asked for: its options beside the trainer's, what is recorded of them, what is refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from bandpo.core.checks import suggestion
from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training.rollouts import prompts_needed
from bandpo.tasks import TASKS

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
    skip_bad_rows: bool = field(
        default=False, metadata={"help": "Leave out rows that cannot be used, and say how many."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Start anew; a run in output_dir moves to NAME.old-1."})

    def __post_init__(self):
        self.reward = [self.reward] if isinstance(self.reward, str) else self.reward


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
    about = {n: v for n, v in dataclasses.asdict(run).items() if n != "overwrite"}
    return {"recipe": "none", **about, **named, **{n: getattr(v, "value", v) for n, v in kept.items()}}


def check_settings(run: RunArguments, args: BandGRPOConfig) -> None:
    """Raise ValueError for settings under which a run could not keep its promises."""
    for name in ("eval_samples", "eval_batch_size", "evaluate_every", "threads"):
        value = getattr(run, name)
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: expected at least 1")
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
