"""The kernels against fp64, and what only a device shows; tasks are spread over processes, since kernels are built."""

from __future__ import annotations

import functools
import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import torch

import bandpo
from bandpo.runs.comparison.tether import be_killed_with_parent
from bandpo.speed.report import worst_ulp
from benchmarks.gpu import one_launch
from benchmarks.gpu.asked import QUESTIONS
from benchmarks.gpu.cases import Options, Pass, batch, errors, passed, reference, served
from benchmarks.gpu.compiled import compiled
from benchmarks.gpu.large import large, long_row, not_numbers
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PROCESSES = 12
Found = Iterator[tuple[str, float]]
Task = Callable[[str, bool], Found]


def of_method(device: str, small: bool, *, method: str, options: Options) -> Found:
    """Yield the errors of a method, in every dtype, with metrics and without."""
    for dtype in DTYPES:
        given = batch(2, 130, dtype) if small else batch(5, 1500, dtype)
        truth = reference(given, method, options)
        for metrics in (True, False):
            found = passed(given.to(device), method, options, metrics=metrics)
            yield from errors(Pass(*(tensor.cpu() for tensor in found)), truth)


def of_bounds(device: str, small: bool) -> Found:
    """Yield the error of the bounds of every divergence that has a kernel, both and the one asked for, in ulp."""
    logp = -torch.logspace(-6, 1.69897, 300 if small else 200_000, dtype=torch.float64).float()
    signs = torch.where(torch.arange(len(logp)) % 2 == 0, 1.0, -1.0)
    for divergence, toward in itertools.product(("kl", "tv", "chi2", "hellinger"), (None, signs)):
        truth = bandpo.band(logp.double(), 0.05, divergence, kernel="torch", toward=toward)
        there = toward if toward is None else toward.to(device)
        found = bandpo.band(logp.to(device), 0.05, divergence, kernel="triton", toward=there)
        for bound, exact in zip(found, truth, strict=True):
            finite = torch.isfinite(exact)
            bound = bound.cpu()
            is_infinite_too = torch.equal(bound[~finite].double(), exact[~finite])
            yield "bounds", worst_ulp(bound[finite], exact[finite]) if is_infinite_too else float("inf")


def tasks() -> dict[str, Task]:
    """Return the tasks by name, those that take longest first."""
    named: dict[str, Task] = {
        "compiled, reduce-overhead": functools.partial(compiled, mode="reduce-overhead", metrics=False),
        "compiled": functools.partial(compiled, mode=None, metrics=False),
        "compiled, metrics": functools.partial(compiled, mode=None, metrics=True),
        "graphs": one_launch.graphs,
        "streams": one_launch.beside,
        "same bits": one_launch.same_bits,
        "shapes": one_launch.shapes,
        "large": large,
        "long row": long_row,
        "not numbers": not_numbers,
        "bounds": of_bounds,
    }
    for method, options in served():
        named[f"{method} {dict(options)}"] = functools.partial(of_method, method=method, options=options)
    return named


def run_task(name: str, device: str, small: bool) -> dict[str, tuple[float, int]]:
    """Run a task and return, by question, the sum of what is counted or the largest error, and of how many."""
    if not small:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // PROCESSES))
    found: defaultdict[str, list[float]] = defaultdict(list)
    for key, value in tasks()[name](device, small):
        found[key].append(value)
    return {key: (merged(key, values), len(values)) for key, values in found.items()}


def merged(key: str, values: list[float]) -> float:
    """Return the sum of counts, the largest of errors.

    >>> merged("decisions", [0, 2, 1]), merged("gradients", [1e-7, 3e-7])
    (3, 3e-07)
    """
    return sum(values) if QUESTIONS[key].asked == 0 else max(values)


def measure(setting: Setting, record: Record) -> None:
    """Run every task; a task that raises an error makes the part fail once the others are through."""
    answers: dict[str, tuple[float, int]] = {}
    failures: dict[str, str] = {}
    for name, outcome in _outcomes(setting):
        if isinstance(outcome, str):
            failures[name] = outcome
            record.note("failures", failures)
            print(f"  {name}: {outcome}", flush=True)
            continue
        for key, (value, count) in outcome.items():
            before, counted = answers.get(key, (0, 0))
            answers[key] = merged(key, [before, value]), counted + count
            record.add(key, answers[key][0], f"{answers[key][1]:,} tried")
    if failures:
        raise SystemExit(f"{len(failures)} of {len(tasks())} tasks failed, the first {next(iter(failures.items()))}")


def _outcomes(setting: Setting) -> Iterator[tuple[str, dict[str, tuple[float, int]] | str]]:
    """Yield (task, what it found or how it failed) as they come."""
    if setting.is_small:
        for name in tasks():
            yield name, _caught(lambda name=name: run_task(name, setting.device, True))
        return
    processes = max(1, min(PROCESSES, (os.cpu_count() or 1) - 1))
    with ProcessPoolExecutor(processes, get_context("spawn"), be_killed_with_parent) as pool:
        yield from _spread(pool, setting)


def _spread(pool: Executor, setting: Setting) -> Iterator[tuple[str, dict[str, tuple[float, int]] | str]]:
    running = {pool.submit(run_task, name, setting.device, False): name for name in tasks()}
    for done in as_completed(running):
        yield running[done], _caught(done.result)


def _caught(work: Callable[[], dict[str, tuple[float, int]]]) -> dict[str, tuple[float, int]] | str:
    try:
        return work()
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        return f"{type(error).__name__}: {first}"
