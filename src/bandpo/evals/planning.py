"""From what is asked for to an evaluation that is ready to start: everything checked, nothing left to be chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandpo.evals.config import EvalConfig, TaskConfig
from bandpo.evals.generation.prompts import encode, is_chat, plain_text
from bandpo.evals.generation.protocol import (
    EngineOptions,
    default_batch_size,
    engine_name,
    resolved_device,
    resolved_dtype,
)
from bandpo.evals.models import identify
from bandpo.evals.problems import EvalTask, load_tasks
from bandpo.evals.run import Plan, PlannedTask
from bandpo.evals.settings import EvalSettings
from bandpo.store.folder import RunFolder
from bandpo.store.machine import package_version
from bandpo.store.sources import model_source

_VERSIONS = ("bandpo", "torch", "transformers", "vllm", "python-flint", "scipy")


def plan(settings: EvalSettings, output_dir: str | None = None, overwrite: bool = False) -> Plan:
    """Check everything an evaluation needs and claim its folder; no weights are loaded yet.

    Args:
        settings: what is asked for.
        output_dir: where it lives; a folder of runs/ named after model and tasks if None.
        overwrite: move an evaluation that is there aside, to NAME.old-1.

    Raises:
        ValueError: a source that does not exist, a folder that holds something else, prompts too long for the model.
    """
    engine = engine_name(settings.engine)
    tasks = load_tasks(settings.tasks, reward=settings.reward, template=settings.template, limit=settings.limit)
    source, tokenizer = model_source(settings.model, settings.revision)
    planned = [_planned(task, tokenizer, settings) for task in tasks]
    weights, positions = identify(source, settings.revision)
    longest = max(_longest(each, positions) for each in planned)
    config = _config(settings, engine, weights, {each.name: each.config for each in planned})
    folder = RunFolder(output_dir or _default_folder(config, overwrite))
    is_complete = _claim(folder, config.flat(), overwrite)
    for each in planned if not is_complete else ():
        folder.replace(f"{each.name}.problems.jsonl", _problem_records(each))
    options = EngineOptions(source, settings.revision, config.dtype, longest, settings.engine_kwargs)
    return Plan(config, planned, folder, options, tokenizer, is_complete)


def _planned(task: EvalTask, tokenizer: Any, settings: EvalSettings) -> PlannedTask:
    prompts = [plain_text(prompt) for prompt in task.prompts] if settings.plain else task.prompts
    if is_chat(prompts[0]) and not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            f"model={settings.model!r} has no chat template and the prompts of {task.name} are chats: "
            "expected a chat model, or --plain"
        )
    rows = encode(tokenizer, prompts, settings.chat_template_kwargs)
    config = TaskConfig(
        source=task.source,
        problems=len(task.prompts),
        sha256=task.digest(),
        tokens_sha256=hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        reward=task.reward_name,
        max_tokens=settings.max_tokens or task.max_tokens,
        one_answer=task.has_reference,
        fixed_length=task.fixed_length,
    )
    return PlannedTask(task, rows, config)


def _longest(planned: PlannedTask, positions: int | None) -> int:
    """Return the tokens of the longest prompt and its answer, which must fit the model."""
    lengths, answer = [*map(len, planned.prompts)], planned.config.max_tokens
    if min(lengths) == 0:
        raise ValueError(f"{planned.name}: problem {lengths.index(0)} has no tokens, expected a prompt")
    longest = max(lengths)
    if positions is not None and longest >= positions:
        raise ValueError(
            f"{planned.name}: problem {lengths.index(longest)} has {longest:,} tokens, expected fewer than the model's "
            f"{positions:,} positions"
        )
    if positions is not None and longest + answer > positions:
        raise ValueError(
            f"max_tokens={answer} of {planned.name}: the model has {positions} positions and the longest prompt "
            f"{longest} tokens, expected at most {positions - longest}"
        )
    return longest + answer


def _config(
    settings: EvalSettings, engine: str, weights: Mapping[str, Any], tasks: Mapping[str, TaskConfig]
) -> EvalConfig:
    assert settings.k is not None
    return EvalConfig(
        model=settings.model,
        n=settings.n,
        k=list(settings.k),
        temperature=settings.temperature,
        top_p=settings.top_p,
        seed=settings.seed,
        batch_size=settings.batch_size or default_batch_size(engine),
        engine=engine,
        dtype=resolved_dtype(engine, settings.dtype),
        engine_kwargs=settings.engine_kwargs,
        revision=settings.revision,
        template=settings.template,
        limit=settings.limit,
        plain=settings.plain,
        chat_template_kwargs=settings.chat_template_kwargs,
        weights=weights,
        device=resolved_device(),
        tasks=tasks,
        versions={name: package_version(name) for name in _VERSIONS},
    )


def _default_folder(config: EvalConfig, overwrite: bool) -> str:
    """Return runs/eval-MODEL-TASKS, with a number behind it where another evaluation is there."""
    base = f"runs/eval-{_model_label(config.model)}-{'+'.join(config.tasks)}"
    for name in (base if i == 1 else f"{base}-{i}" for i in range(1, 10_000)):
        folder = RunFolder(name)
        if overwrite or not folder.path.exists() or folder.holds(config.flat()):
            return name
    raise ValueError(f"output_dir: {base} and its followers are taken, expected --output-dir")


def _model_label(model: str) -> str:
    """Return a model's name for a folder; `model` and `checkpoint-N` of a run are called after the run.

    >>> _model_label("Qwen/Qwen2.5-3B"), _model_label("runs/mine/model"), _model_label("runs/mine/checkpoint-50")
    ('Qwen2.5-3B', 'mine', 'mine-checkpoint-50')
    """
    path = Path(model).expanduser().resolve()
    if path.name == "model":
        return path.parent.name
    return f"{path.parent.name}-{path.name}" if path.name.startswith("checkpoint-") else path.name


def _claim(folder: RunFolder, config: dict[str, Any], overwrite: bool) -> bool:
    """Take the folder, and return whether this very evaluation is complete in it."""
    if not overwrite and folder.config() is not None:
        changed = folder.difference(config)
        if changed:
            raise ValueError(
                f"output_dir={str(folder.path)!r} holds an evaluation with {changed}: expected the same settings, "
                "another --output-dir or --overwrite"
            )
        if folder.is_complete():
            return True
    folder.claim(config, overwrite)
    return False


def _problem_records(planned: PlannedTask) -> list[dict[str, Any]]:
    task, records = planned.task, []
    for number, (prompt, ids) in enumerate(zip(task.prompts, planned.prompts, strict=True)):
        columns = {name: values[number] for name, values in task.columns.items()}
        plain = json.loads(json.dumps({"prompt": prompt, "columns": columns}, default=str))
        records.append({"problem": number, "id": task.ids[number], **plain, "prompt_tokens": len(ids)})
    return records
