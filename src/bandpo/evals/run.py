"""One evaluation: a folder, batches that are the same however often it is cut short, and the result.

bandpo.json           the mark that makes the folder ours, see `bandpo.store.mark`
config.yaml           settings, model and problems, with their hashes; nothing else may go on in this folder
environment.json      machine and package versions
TASK.problems.jsonl   the problems, one a line
TASK.samples.jsonl    the samples, one a line, a batch at a time
result.json           written last: scores with intervals, settings, machine, command
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bandpo.evals.config import EvalConfig, TaskConfig
from bandpo.evals.generation.loading import load_engine
from bandpo.evals.generation.protocol import Engine, EngineOptions, Request, Sample, Sampling
from bandpo.evals.generation.sampling import sample_seed
from bandpo.evals.grading import grade
from bandpo.evals.intervals import BOOTSTRAP, LEVEL, RESAMPLES
from bandpo.evals.problems import EvalTask
from bandpo.evals.samples import read_samples, samples_file
from bandpo.evals.summary import DEFINITIONS, by_problem, logged_means, summarise
from bandpo.store.endings import no_quiet_end
from bandpo.store.folder import RunFolder
from bandpo.store.machine import environment
from bandpo.store.progress import Bar

Batch = list[tuple[int, int]]


@dataclass(frozen=True)
class PlannedTask:
    """A task that is ready to be drawn.

    Attributes:
        task: its problems and how they are graded.
        prompts: token ids of each problem.
        config: what identifies it.
    """

    task: EvalTask
    prompts: list[list[int]]
    config: TaskConfig

    @property
    def name(self) -> str:
        """Return the task's name."""
        return self.task.name


@dataclass
class Plan:
    """An evaluation that has been checked and given its folder, and is ready to start.

    Attributes:
        config: what identifies it.
        tasks: in their order.
        folder: its own.
        options: that the engine is made from.
        tokenizer: of the model.
        is_complete: whether nothing is left to do.
    """

    config: EvalConfig
    tasks: list[PlannedTask]
    folder: RunFolder
    options: EngineOptions
    tokenizer: Any
    is_complete: bool

    def samples_done(self) -> int:
        """Return how many samples are saved already."""
        return sum(len(read_samples(self.folder, planned.name)) for planned in self.tasks)

    def samples_total(self) -> int:
        """Return how many samples the whole evaluation has."""
        return sum(len(planned.prompts) for planned in self.tasks) * self.config.n

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
        missing = [self._missing(planned) for planned in self.tasks]
        if any(missing):
            engine = engine or load_engine(self.config.engine, self.tokenizer, self.options)
        for planned, batches in zip(self.tasks, missing, strict=True):
            total, left = len(planned.prompts) * self.config.n, sum(map(len, batches))
            with Bar(total=total, initial=total - left, desc=planned.name, unit=" samples") as bar:
                for batch in batches:
                    assert engine is not None
                    self.folder.append(samples_file(planned.name), self._draw(engine, planned, batch))
                    drawn += len(batch)
                    bar.update(len(batch))
            self._put_in_order(planned)
        result = self._result()
        result["timing"] = {"seconds": round(time.time() - started, 1), "samples_in_them": drawn}
        self.folder.finish(result)
        return result

    def _missing(self, planned: PlannedTask) -> list[Batch]:
        """Return the batches that are not saved whole; what is saved of them is dropped, as if they were unbroken."""
        records = read_samples(self.folder, planned.name, say_damage=True)
        saved = {(record["problem"], record["sample"]): record for record in records}
        kept: list[dict[str, Any]] = []
        missing: list[Batch] = []
        for batch in self._batches(planned):
            if all(key in saved for key in batch):
                kept += [saved[key] for key in batch]
            else:
                missing.append(batch)
        self.folder.replace(samples_file(planned.name), kept)
        return missing

    def _put_in_order(self, planned: PlannedTask) -> None:
        """Write the samples in the order in which an evaluation that was never cut short draws them."""
        saved = {(record["problem"], record["sample"]): record for record in read_samples(self.folder, planned.name)}
        keys = [key for batch in self._batches(planned) for key in batch]
        if list(saved) != keys:
            self.folder.replace(samples_file(planned.name), [saved[key] for key in keys])

    def _batches(self, planned: PlannedTask) -> list[Batch]:
        return plan_batches([*map(len, planned.prompts)], self.config.n, self.config.batch_size)

    def _draw(self, engine: Engine, planned: PlannedTask, batch: Batch) -> list[dict[str, Any]]:
        """Return the records of one batch, drawn and graded."""
        config, task = self.config, planned.task
        seeds = [sample_seed(config.seed, task.name, problem, sample) for problem, sample in batch]
        requests = [
            Request(tuple(planned.prompts[problem]), seed) for (problem, _), seed in zip(batch, seeds, strict=True)
        ]
        samples = engine.generate(requests, Sampling(config.temperature, config.top_p), planned.config.max_tokens)
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
        records = {planned.name: read_samples(self.folder, planned.name) for planned in self.tasks}
        rows = {planned.name: by_problem(records[planned.name], len(planned.prompts)) for planned in self.tasks}
        return {
            "scores": {task: summarise(rows[task], self.config, task) for task in rows},
            "logged": {task: logged_means(records[task]) for task in rows},
            "definitions": DEFINITIONS,
            "intervals": {"method": BOOTSTRAP, "level": LEVEL, "resamples": RESAMPLES, "seed": self.config.seed},
            "settings": self.config.flat(),
            "machine": {
                **environment(),
                "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
                "threads": torch.get_num_threads(),
            },
            "command": shlex.join(["bandpo", *sys.argv[1:]]),
        }


def plan_batches(lengths: Sequence[int], n: int, batch_size: int) -> list[Batch]:
    """Return (problem, sample) pairs in batches, longest prompts first, so that too long a batch fails at once.

    >>> plan_batches([3, 5], n=2, batch_size=3)
    [[(1, 0), (1, 1), (0, 0)], [(0, 1)]]
    """
    order = sorted(range(len(lengths)), key=lambda problem: -lengths[problem])
    pairs = [(problem, sample) for problem in order for sample in range(n)]
    return [pairs[start : start + batch_size] for start in range(0, len(pairs), batch_size)]


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
