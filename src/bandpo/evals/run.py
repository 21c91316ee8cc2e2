"""One evaluation: a folder, batches that are the same however often it is cut short, and the result.

bandpo.json           the mark that makes the folder ours, see `bandpo.store.mark`
config.yaml           settings, model and problems, with their hashes; nothing else may go on in this folder
environment.json      machine and package versions
TASK.problems.jsonl   the problems, one a line
TASK.samples.jsonl    the samples, one a line, a batch at a time
result.json           written last: scores with intervals, settings, machine, command
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bandpo.evals.engine import (
    Engine,
    EngineOptions,
    Request,
    Sample,
    Sampling,
    default_batch_size,
    engine_name,
    resolved_device,
    resolved_dtype,
)
from bandpo.evals.grading import grade
from bandpo.evals.intervals import BOOTSTRAP, LEVEL, RESAMPLES
from bandpo.evals.loading import load_engine
from bandpo.evals.models import identify, load_tokenizer
from bandpo.evals.problems import EvalTask, load_tasks
from bandpo.evals.prompts import encode, is_chat, plain_text
from bandpo.evals.samples import read_samples, samples_file
from bandpo.evals.sampling import sample_seed
from bandpo.evals.settings import EvalSettings
from bandpo.evals.summary import DEFINITIONS, by_problem, logged_means, summarise
from bandpo.store.endings import no_quiet_end
from bandpo.store.folder import RunFolder
from bandpo.store.machine import environment, package_version
from bandpo.store.progress import Bar

_VERSIONS = ("bandpo", "torch", "transformers", "vllm", "python-flint", "scipy")
Batch = list[tuple[int, int]]


@dataclass
class Plan:
    """An evaluation that has been checked and given its folder, and is ready to start."""

    settings: EvalSettings
    tasks: list[EvalTask]
    prompts: dict[str, list[list[int]]]
    config: dict[str, Any]
    folder: RunFolder
    options: EngineOptions
    tokenizer: Any
    is_complete: bool

    def samples_done(self) -> int:
        """Samples that are saved already."""
        return sum(len(read_samples(self.folder, task.name)) for task in self.tasks)

    def samples_total(self) -> int:
        return sum(len(task.prompts) for task in self.tasks) * self.settings.n

    @no_quiet_end("the evaluation")
    def execute(self, engine: Engine | None = None) -> dict[str, Any]:
        """Draw and grade what is missing, and return what `result.json` holds.

        Args:
            engine: instead of the one that the settings name.

        Raises:
            ValueError: the model cannot be loaded, or the reward function does not give one finite number or None for
                each sample.
            RewardError: the reward function raised an error; samples of earlier batches are kept.
        """
        if self.is_complete:
            return self.folder.result()
        started, drawn = time.time(), 0
        missing = {task.name: list(self._missing(task)) for task in self.tasks}
        if any(missing.values()):
            engine = engine or load_engine(self.config["engine"], self.tokenizer, self.options)
        for task in self.tasks:
            total = len(task.prompts) * self.settings.n
            left = sum(map(len, missing[task.name]))
            with Bar(total=total, initial=total - left, desc=task.name, unit=" samples") as bar:
                for batch in missing[task.name]:
                    assert engine is not None
                    self.folder.append(samples_file(task.name), self._draw(engine, task, batch))
                    drawn += len(batch)
                    bar.update(len(batch))
        result = self._result()
        result["timing"] = {"seconds": round(time.time() - started, 1), "samples_in_them": drawn}
        self.folder.finish(result)
        return result

    def _missing(self, task: EvalTask) -> Iterator[Batch]:
        """Batches that are not saved whole; what is saved of them is dropped, so that they come out as if unbroken."""
        records = read_samples(self.folder, task.name, say_damage=True)
        saved = {(record["problem"], record["sample"]): record for record in records}
        kept: list[dict[str, Any]] = []
        missing: list[Batch] = []
        for batch in plan_batches([*map(len, self.prompts[task.name])], self.settings.n, self.config["batch_size"]):
            if all(key in saved for key in batch):
                kept += [saved[key] for key in batch]
            else:
                missing.append(batch)
        self.folder.replace(samples_file(task.name), kept)
        return iter(missing)

    def _draw(self, engine: Engine, task: EvalTask, batch: Batch) -> list[dict[str, Any]]:
        """Records of one batch, drawn and graded."""
        seeds = [sample_seed(self.settings.seed, task.name, problem, sample) for problem, sample in batch]
        rows = self.prompts[task.name]
        requests = [Request(tuple(rows[problem]), seed) for (problem, _), seed in zip(batch, seeds, strict=True)]
        sampling = Sampling(self.settings.temperature, self.settings.top_p)
        samples = engine.generate(requests, sampling, self.config[f"{task.name}.max_tokens"])
        logged: dict[str, float] = {}
        rewards = grade(
            task.reward,
            [task.prompts[problem] for problem, _ in batch],
            [sample.text for sample in samples],
            [sample.ids for sample in samples],
            {name: [values[problem] for problem, _ in batch] for name, values in task.columns.items()},
            places=[task.place(problem) for problem, _ in batch],
            trainer_state=None,
            log_extra=lambda name, values: None,
            log_metric=lambda name, value: logged.__setitem__(name, float(value)),
        )
        entries = zip(batch, seeds, samples, rewards, strict=True)
        return [_record(task, key, seed, sample, reward, logged) for key, seed, sample, reward in entries]

    def _result(self) -> dict[str, Any]:
        scores, logged = {}, {}
        for task in self.tasks:
            records = read_samples(self.folder, task.name)
            scores[task.name] = summarise(by_problem(records, len(task.prompts)), self.config, task.name)
            logged[task.name] = logged_means(records)
        return {
            "scores": scores,
            "logged": logged,
            "definitions": DEFINITIONS,
            "intervals": {"method": BOOTSTRAP, "level": LEVEL, "resamples": RESAMPLES, "seed": self.settings.seed},
            "settings": self.config,
            "machine": {
                **environment(),
                "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
                "threads": torch.get_num_threads(),
            },
            "command": shlex.join(["bandpo", *sys.argv[1:]]),
        }


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
    source, tokenizer = load_tokenizer(settings.model, settings.revision)
    prompts = {task.name: _encoded(task, tokenizer, settings) for task in tasks}
    identity = identify(source, settings.revision)
    positions = identity.pop("positions")
    longest = max(_longest(task, prompts[task.name], settings, positions) for task in tasks)
    config = _config(settings, engine, identity, tasks, prompts)
    folder = RunFolder(output_dir or _default_folder(settings, tasks, config, overwrite))
    is_complete = _claim(folder, config, overwrite)
    for task in tasks if not is_complete else ():
        folder.replace(f"{task.name}.problems.jsonl", _problem_records(task, prompts[task.name]))
    options = EngineOptions(source, settings.revision, config["dtype"], longest, settings.engine_kwargs)
    return Plan(settings, tasks, prompts, config, folder, options, tokenizer, is_complete)


def plan_batches(lengths: Sequence[int], n: int, batch_size: int) -> list[Batch]:
    """(problem, sample) pairs in batches, longest prompts first, so that too long a batch fails at once.

    >>> plan_batches([3, 5], n=2, batch_size=3)
    [[(1, 0), (1, 1), (0, 0)], [(0, 1)]]
    """
    order = sorted(range(len(lengths)), key=lambda problem: -lengths[problem])
    pairs = [(problem, sample) for problem in order for sample in range(n)]
    return [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]


def _encoded(task: EvalTask, tokenizer: Any, settings: EvalSettings) -> list[list[int]]:
    prompts = [plain_text(prompt) for prompt in task.prompts] if settings.plain else task.prompts
    if is_chat(prompts[0]) and not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            f"model={settings.model!r} has no chat template and the prompts of {task.name} are chats: "
            "expected a chat model, or --plain"
        )
    return encode(tokenizer, prompts, settings.chat_template_kwargs)


def _longest(task: EvalTask, prompts: Sequence[Sequence[int]], settings: EvalSettings, positions: int | None) -> int:
    """Tokens of the longest prompt and its answer, which must fit the model."""
    longest, answer = max(map(len, prompts)), settings.max_tokens or task.max_tokens
    if min(map(len, prompts)) == 0:
        raise ValueError(f"{task.name}: problem {[*map(len, prompts)].index(0)} has no tokens, expected a prompt")
    if positions is not None and longest + answer > positions:
        raise ValueError(
            f"max_tokens={answer} of {task.name}: the model has {positions} positions and the longest prompt "
            f"{longest} tokens, expected at most {positions - longest}"
        )
    return longest + answer


def _config(
    settings: EvalSettings,
    engine: str,
    identity: Mapping[str, Any],
    tasks: Sequence[EvalTask],
    prompts: Mapping[str, list[list[int]]],
) -> dict[str, Any]:
    """What must stay the same for samples to belong together, flat."""
    asked = dataclasses.asdict(settings)
    for per_task in ("max_tokens", "tasks", "reward"):
        asked.pop(per_task)
    config: dict[str, Any] = {
        **asked,
        "k": list(asked["k"]),
        **{f"model.{name}": value for name, value in identity.items()},
        "engine": engine,
        "dtype": resolved_dtype(engine, settings.dtype),
        "device": resolved_device(),
        "batch_size": settings.batch_size or default_batch_size(engine),
        "tasks": [task.name for task in tasks],
    }
    for task in tasks:
        config |= {
            f"{task.name}.source": task.source,
            f"{task.name}.problems": len(task.prompts),
            f"{task.name}.sha256": task.digest(),
            f"{task.name}.tokens_sha256": hashlib.sha256(json.dumps(prompts[task.name]).encode()).hexdigest(),
            f"{task.name}.reward": task.reward_name,
            f"{task.name}.max_tokens": settings.max_tokens or task.max_tokens,
            f"{task.name}.one_answer": task.has_reference,
            f"{task.name}.fixed_length": task.fixed_length,
        }
    return config | {f"version.{name}": package_version(name) for name in _VERSIONS}


def _default_folder(settings: EvalSettings, tasks: Sequence[EvalTask], config: dict[str, Any], overwrite: bool) -> str:
    """runs/eval-MODEL-TASKS, with a number behind it where another evaluation is there."""
    base = f"runs/eval-{_model_label(settings.model)}-{'+'.join(task.name for task in tasks)}"
    for name in (base if i == 1 else f"{base}-{i}" for i in range(1, 10_000)):
        folder = RunFolder(name)
        if overwrite or not folder.path.exists() or folder.holds(config):
            return name
    raise ValueError(f"output_dir: {base} and its followers are taken, expected --output-dir")


def _model_label(model: str) -> str:
    """A model's name for a folder; `model` and `checkpoint-N` of a run are called after the run.

    >>> _model_label("Qwen/Qwen2.5-3B"), _model_label("runs/mine/model"), _model_label("runs/mine/checkpoint-50")
    ('Qwen2.5-3B', 'mine', 'mine-checkpoint-50')
    """
    path = Path(model).expanduser().resolve()
    if path.name == "model":
        return path.parent.name
    return f"{path.parent.name}-{path.name}" if path.name.startswith("checkpoint-") else path.name


def _claim(folder: RunFolder, config: dict[str, Any], overwrite: bool) -> bool:
    """Take the folder; True where this very evaluation is complete in it."""
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


def _problem_records(task: EvalTask, prompts: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    records = []
    for number, (prompt, ids) in enumerate(zip(task.prompts, prompts, strict=True)):
        columns = {name: values[number] for name, values in task.columns.items()}
        plain = json.loads(json.dumps({"prompt": prompt, "columns": columns}, default=str))
        records.append({"problem": number, "id": task.ids[number], **plain, "prompt_tokens": len(ids)})
    return records


def _record(
    task: EvalTask, key: tuple[int, int], seed: int, sample: Sample, reward: float, logged: Mapping[str, float]
) -> dict[str, Any]:
    record = {
        "problem": key[0],
        "sample": key[1],
        "id": task.ids[key[0]],
        "seed": seed,
        "completion": sample.text,
        "answer": task.answer(sample.text),
        "reward": reward,
        "correct": None if math.isnan(reward) else reward >= 1,
        "tokens": len(sample.ids),
        "truncated": None if task.fixed_length else sample.truncated,
        "entropy_sum": sample.entropy_sum,
        "surprisal_sum": sample.surprisal_sum,
    }
    return {**record, "logged": dict(logged)} if logged else record
