"""The runs of the BandPO paper as commands: every model with every method, on verl or on one machine through TRL.

All arms share trainer, reward, lengths and epochs; they differ in the trust region alone. What they share stands in
`recipes/paper.yaml` (TRL) and `recipes/paper/verl.yaml`, models and methods in `recipes/paper/runs.yaml`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

ENGINES = ("verl", "trl")
PROMPTS, ANSWERS, UPDATES = 256, 16, 4
"""Prompts and answers of each in one rollout, and optimizer steps made of it."""

# The authors' logs: 8 H200, Qwen2.5-3B-Instruct, 102 rollouts an epoch, 10 epochs.
_ROLLOUTS = 1020
_LOGGED_SECONDS, _LOGGED_MODEL = 108.9, "qwen2.5-3b-instruct"


@dataclass(frozen=True)
class PaperRun:
    """One run: a model and a method by the names of `runs.yaml`, and where it runs.

    Attributes:
        model, method: names in `models()` and `arms()`.
        data: folder that `bandpo data prepare` wrote.
        gpus: per machine.
        machines: verl only; TRL's recipe is for one.
        answer_line: reward by the authors' rule, the last "Answer:" line to the letter, else by mathematical equality.

    Raises:
        ValueError: an unknown name, a number of GPUs that does not divide the batch.

    >>> PaperRun("qwen2.5-3b-instruct", "band-kl").name
    'qwen2.5-3b-instruct-band-kl'
    """

    model: str
    method: str
    data: str = "data"
    gpus: int = 8
    machines: int = 1
    answer_line: bool = False

    def __post_init__(self):
        for name, value, known in (("model", self.model, models()), ("method", self.method, arms())):
            if value not in known:
                raise ValueError(f"{name}={value!r}: expected one of {', '.join(known)}")
        answers = PROMPTS * ANSWERS // UPDATES
        if self.gpus < 1 or self.machines < 1 or answers % (self.gpus * self.machines):
            raise ValueError(
                f"gpus={self.gpus}, machines={self.machines}: expected GPUs in all to divide the {answers} answers of "
                "an update"
            )

    @property
    def name(self) -> str:
        return f"{self.model}-{self.method}"


@functools.cache
def _content(name: str) -> dict[str, Any]:
    return yaml.safe_load((files("bandpo") / "recipes" / name).read_text(encoding="utf-8"))


def models() -> dict[str, dict[str, Any]]:
    """Return the paper's models by name: Hub id, billions of parameters, mean response in tokens.

    >>> models()["r1-distill-llama-8b"]["hub"]
    'deepseek-ai/DeepSeek-R1-Distill-Llama-8B'
    """
    return _content("paper/runs.yaml")["models"]


def arms() -> dict[str, dict[str, Any]]:
    """Return the methods that the paper compares, with their hyperparameters.

    >>> arms()["band-kl"]
    {'method': 'band-kl', 'band_delta': 0.05, 'method_kwargs': {'max_ratio': 10.0, 'dual_clip': 10.0}}
    """
    return _content("paper/runs.yaml")["methods"]


def data_names() -> tuple[list[str], list[str]]:
    """Return the data sets trained on and those evaluated on, by the names of `bandpo data`.

    >>> data_names()
    (['dapo-math-17k', 'math-3to5'], ['aime24', 'aime25', 'amc23'])
    """
    return _content("paper/runs.yaml")["train"], _content("paper/runs.yaml")["test"]


def verl_overrides(run: PaperRun) -> list[str]:
    """Return verl's configuration of a run, as overrides for its command line.

    >>> verl_overrides(PaperRun("qwen2.5-3b-instruct", "band-kl"))[0]
    'data.train_batch_size=256'
    """
    train, test = ([_file(run, name, "verl") for name in names] for names in data_names())
    arm, loss = arms()[run.method], "actor_rollout_ref.actor.policy_loss"
    own = {
        "data.train_files": train,
        "data.val_files": test,
        "actor_rollout_ref.model.path": models()[run.model]["hub"],
        f"{loss}._target_": "bandpo.engines.verl.BandPolicyLossConfig",
        f"{loss}.loss_mode": "bandpo",
        f"+{loss}.method": arm["method"],
        **({f"+{loss}.band_delta": arm["band_delta"]} if "band_delta" in arm else {}),
        **{f"+{loss}.method_kwargs.{name}": value for name, value in arm["method_kwargs"].items()},
        "+reward.custom_reward_function.reward_kwargs.rule": "answer-line" if run.answer_line else "math",
        "trainer.experiment_name": run.name,
        "trainer.nnodes": run.machines,
        "trainer.n_gpus_per_node": run.gpus,
    }
    shared = dict(_flat(_content("paper/verl.yaml")))
    return [f"{name}={_hydra(value)}" for name, value in {**shared, **own}.items()]


def _file(run: PaperRun, name: str, engine: str) -> str:
    """Return where `bandpo data prepare NAME` put a data set."""
    return str(Path(run.data, f"{name}.{engine}.parquet"))


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _hydra(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) and "://" in value else str(value)


def trl_options(run: PaperRun) -> list[str]:
    """Return options of `bandpo train` for a run on one machine.

    Raises:
        ValueError: more than one machine.

    >>> options = trl_options(PaperRun("qwen2.5-3b-instruct", "clip-higher", gpus=4))
    >>> options[options.index("--gradient_accumulation_steps") + 1]
    '32'
    """
    if run.machines != 1:
        raise ValueError(f"machines={run.machines}: expected 1 with engine 'trl'; 'verl' trains on many")
    shared, arm = _content("paper.yaml"), arms()[run.method]
    answers = PROMPTS * ANSWERS // UPDATES
    accumulation = answers // (shared["per_device_train_batch_size"] * run.gpus)
    if accumulation * shared["per_device_train_batch_size"] * run.gpus != answers:
        raise ValueError(f"gpus={run.gpus}: expected a divisor of {answers // shared['per_device_train_batch_size']}")
    own = {
        "config": "paper",
        "model": models()[run.model]["hub"],
        "dataset": ",".join(_file(run, name, "trl") for name in data_names()[0]),
        "reward": f"bandpo.rewards.{'answer_line' if run.answer_line else 'math'}_reward",
        "method": arm["method"],
        **({"band_delta": arm["band_delta"]} if "band_delta" in arm else {}),
        "method_kwargs": json.dumps(arm["method_kwargs"]),
        "gradient_accumulation_steps": accumulation,
        "steps_per_generation": accumulation * UPDATES,
        "output_dir": f"runs/{run.name}",
    }
    return [part for name, value in own.items() for part in (f"--{name}", str(value))]


def command(run: PaperRun, engine: str, extra: Sequence[str] = ()) -> list[str]:
    """Return the command line of a run, with `extra` overrides or options behind it.

    Args:
        run: model, method and machines.
        engine: "verl" or "trl".
        extra: overrides of verl's, options of `bandpo train`.

    Raises:
        ValueError: an unknown engine.

    >>> command(PaperRun("qwen2.5-3b-instruct", "band-kl"), "verl")[:3]
    ['python3', '-m', 'verl.trainer.main_ppo']
    """
    if engine == "verl":
        return ["python3", "-m", "verl.trainer.main_ppo", *verl_overrides(run), *extra]
    if engine == "trl":
        return [*_accelerate(run.gpus), "-m", "bandpo", "train", *trl_options(run), *extra]
    raise ValueError(f"engine={engine!r}: expected one of {', '.join(ENGINES)}")


def _accelerate(gpus: int) -> list[str]:
    """Return FSDP2's settings for the GPUs of one machine: a 7B model with its optimizer does not fit on one."""
    sharding = ["--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP"]
    return ["accelerate", "launch", "--num_processes", str(gpus), "--mixed_precision", "bf16", *sharding]


def validate_verl(run: PaperRun, extra: Sequence[str] = ()) -> Any:
    """Compose verl's configuration of a run, have verl validate it, and return it.

    Raises:
        ModuleNotFoundError: verl is not installed.
        Exception: whatever hydra or verl say against it.
    """
    from hydra import compose, initialize_config_module  # pyright: ignore[reportMissingImports]
    from verl.utils.config import validate_config  # pyright: ignore[reportMissingImports]

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=[*verl_overrides(run), *extra])
    validate_config(config, use_reference_policy=True, use_critic=False)
    return config


def gpu_hours(model: str) -> float:
    """Return the estimated H200 hours of one verl run: the authors' logged step time, scaled by tokens and size.

    108.9 s a step for Qwen2.5-3B-Instruct on 8 H200 (`time/*.txt` of their release) times parameters and mean response
    relative to it, times 1020 steps. An order of magnitude, not a promise: attention and batching do not scale so.

    >>> round(gpu_hours("qwen2.5-3b-instruct"))
    247
    """
    logged, this = models()[_LOGGED_MODEL], models()[model]
    scale = this["parameters"] / logged["parameters"] * this["response"] / logged["response"]
    return 8 * _LOGGED_SECONDS * scale * _ROLLOUTS / 3600
