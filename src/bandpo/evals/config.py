"""What identifies an evaluation: every sample of its folder is of this model, these problems and these settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MODEL, _VERSION = "model.", "version."


@dataclass(frozen=True)
class TaskConfig:
    """The identity of one task: its problems, and how they are answered and graded.

    Attributes:
        source: where the problems are from, as the user wrote it.
        problems: how many.
        sha256: of prompts and columns.
        tokens_sha256: of the prompts as tokens.
        reward: dotted path of the function that grades.
        max_tokens: of an answer.
        one_answer: whether a problem has one right answer.
        fixed_length: whether every answer has the same length and none ends itself.
    """

    source: str
    problems: int
    sha256: str
    tokens_sha256: str
    reward: str
    max_tokens: int
    one_answer: bool
    fixed_length: bool


@dataclass(frozen=True)
class EvalConfig:
    """The settings of an evaluation with nothing left to be chosen.

    Attributes:
        model, revision: as the user named it.
        n, k, temperature, top_p, seed, batch_size, engine, dtype, engine_kwargs, template, limit, plain,
            chat_template_kwargs: see `EvalSettings`; none is "auto" or left to the engine.
        weights: what tells the model from others of its name, see `identify`.
        device: that the model runs on.
        tasks: by name, in their order.
        versions: of packages.
    """

    model: str
    n: int
    k: Sequence[int]
    temperature: float
    top_p: float
    seed: int
    batch_size: int
    engine: str
    dtype: str
    engine_kwargs: Mapping[str, Any]
    revision: str | None
    template: str | None
    limit: int | None
    plain: bool
    chat_template_kwargs: Mapping[str, Any]
    weights: Mapping[str, Any]
    device: str
    tasks: Mapping[str, TaskConfig]
    versions: Mapping[str, str | None]

    def flat(self) -> dict[str, Any]:
        """Return the configuration as `config.yaml` and `result.json` hold it: one level, parts behind a dot."""
        entries = dataclasses.asdict(self)
        weights, device, tasks, versions = (entries.pop(name) for name in ("weights", "device", "tasks", "versions"))
        entries |= {f"{_MODEL}{name}": value for name, value in weights.items()}
        entries |= {"device": device, "tasks": list(tasks)}
        entries |= {f"{task}.{name}": value for task, part in tasks.items() for name, value in part.items()}
        return entries | {f"{_VERSION}{name}": value for name, value in versions.items()}

    @classmethod
    def read(cls, flat: Mapping[str, Any]) -> EvalConfig:
        """Return the configuration that these entries hold.

        Raises:
            ValueError: one is missing.

        >>> EvalConfig.read({"tasks": ["aime24"], "model": "mine"})
        Traceback (most recent call last):
        ValueError: it lacks n
        """
        weights = {name.removeprefix(_MODEL): value for name, value in flat.items() if name.startswith(_MODEL)}
        versions = {name.removeprefix(_VERSION): value for name, value in flat.items() if name.startswith(_VERSION)}
        parts = ("weights", "tasks", "versions")
        own = {field.name: _entry(flat, field.name) for field in dataclasses.fields(cls) if field.name not in parts}
        tasks = {task: _task(flat, task) for task in _entry(flat, "tasks")}
        return cls(**own, weights=weights, tasks=tasks, versions=versions)


def _task(flat: Mapping[str, Any], task: str) -> TaskConfig:
    return TaskConfig(**{field.name: _entry(flat, f"{task}.{field.name}") for field in dataclasses.fields(TaskConfig)})


def _entry(flat: Mapping[str, Any], name: str) -> Any:
    if name not in flat:
        raise ValueError(f"it lacks {name}")
    return flat[name]
