"""Run methods x learning rates x seeds on a task; a line of JSON a run, and a run that has its line is not run again.

    python -m benchmarks.science.run --methods grpo,band-upper:eps_low=0.05 --seeds 100-111 --lr 1e-4 --out runs.jsonl

A line holds the run's settings, its final scores and their curve: mean@32, pass@8, pass@32, entropy, the share of
answers with the rare operator, and since the score before the mean reward and the share of clipped tokens. Ctrl-C
loses the stacks that are on their way; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from bandpo.runs.comparison.specs import parse_seeds
from bandpo.runs.comparison.tether import be_killed_with_parent
from bandpo.store.progress import Bar
from bandpo.views.specs import parse_specs
from benchmarks.science.rules import rules_of
from benchmarks.science.stack import Run, Settings, Stack, record_of
from benchmarks.science.tasks import TASKS

Key = tuple[Any, ...]
Job = tuple[Settings, Sequence[Run]]  # a stack
STACK_SIZE = {"cpu": 15, "cuda": 512}  # runs at once in a process


def key_of(record: dict[str, Any]) -> Key:
    """Return what makes a run the run it is: all of its settings."""
    return tuple(record.get(name) for name in ("method", "lr", "seed", "start", *Settings.__dataclass_fields__))


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file; a line that was cut short is none."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "final" in record:
            records.append(record)
    return records


def append(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add a line for each run, on lines of their own even behind one that was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write("".join(json.dumps(record) + "\n" for record in records).encode())


def train(jobs: Sequence[Job], device: str, tell: Callable[[Any], Any]) -> None:
    """Train stacks one after another; tell the number of runs after every rollout, and the records at the end."""
    for settings, runs in jobs:
        tell(Stack(runs, settings, device).train(lambda runs=runs: tell(len(runs))))


def keep_memory() -> None:
    """Make glibc keep freed memory: to give back megabytes and fetch them anew takes a tenth of a rollout's time."""
    mmap_max, trim_threshold, top_pad = -4, -1, -2
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(top_pad, 2**28)


def _work(jobs: Sequence[Job], taken: Any, device: str, queue: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C ends
    be_killed_with_parent()
    settle()
    try:
        while (number := _next(taken)) < len(jobs):
            train([jobs[number]], device, queue.put)
        queue.put(None)
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


def settle() -> None:
    """Give this process what it is fastest with: one thread, and memory of its own."""
    keep_memory()
    torch.set_num_threads(1)


def _next(taken: Any) -> int:
    """Return the number of the next stack, which no other process gets."""
    with taken.get_lock():
        taken.value += 1
        return taken.value - 1


def execute(jobs: Sequence[Job], device: str, processes: int, tell: Callable[[Any], Any]) -> None:
    """Train stacks in so many processes, the first of the list first; see `train` for what is told.

    Raises:
        RuntimeError: one ended with an error.
    """
    processes = min(processes, len(jobs))
    if processes <= 1:
        settle()
        return train(jobs, device, tell)
    context = get_context("spawn")
    queue, given = context.SimpleQueue(), (jobs, context.Value("i", 0), device)
    workers = [context.Process(target=_work, args=(*given, queue), daemon=True) for _ in range(processes)]
    try:
        for worker in workers:
            worker.start()
        running = len(workers)
        while running:
            said = queue.get()
            if isinstance(said, str):
                raise RuntimeError(f"a process ended: {said}")
            if said is None:
                running -= 1
            else:
                tell(said)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()


def pending(wanted: Iterable[Job], out: Path, size: int) -> list[Job]:
    """Return the stacks, of at most so many runs, of what is wanted and has no line yet."""
    known = {key_of(record) for record in read_records(out)}
    jobs = []
    for settings, runs in wanted:
        missing = [run for run in runs if key_of(record_of(run, settings)) not in known]
        jobs += [(settings, missing[start : start + size]) for start in range(0, len(missing), size)]
    return jobs


def run_study(wanted: Iterable[Job], out: Path, options: argparse.Namespace) -> None:
    """Run what has no line yet, as the options of `study_parser` say."""
    jobs = pending(wanted, out, options.stack or STACK_SIZE[options.device])
    run_all(jobs, out, options.device, options.processes)


def run_all(jobs: Sequence[Job], out: Path, device: str, processes: int) -> None:
    """Train stacks, show how far they are, and add a line a run to the file as each stack ends."""
    rollouts = sum(settings.rollouts * len(runs) for settings, runs in jobs)
    print(f"{sum(len(runs) for _, runs in jobs)} runs to do, {len(jobs)} stacks", file=sys.stderr, flush=True)
    with Bar(total=rollouts, unit="rollout", desc="runs") as bar:
        execute(
            jobs,
            device,
            processes,
            lambda said: bar.update(said) if isinstance(said, int) else append(out, said),
        )


def study_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options of a registered study."""
    own = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--out", type=Path, default=Path("runs/evidence"), help="folder of the runs' lines")
    own.add_argument("--committed", action="store_true", help="run nothing; rewrite the page from the committed runs")
    own.add_argument("--device", default="cpu", choices=STACK_SIZE)
    own.add_argument("--stack", type=int, help="runs at once in a process: 15 on CPUs, 512 on a GPU")
    own.add_argument("--processes", type=int, default=2)
    return own


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    own = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--methods", required=True, help="between commas, options behind colons")
    own.add_argument("--seeds", required=True, help="a count, a range (100-111) or a list (1,2,5)")
    own.add_argument("--lr", default="1e-4", help="learning rates between commas")
    own.add_argument(
        "--starts",
        default="countdown",
        help="warm starts between commas, names or folders; seed s takes number s mod n",
    )
    own.add_argument("--evaluate-every", type=int, default=Settings.evaluate_every, help="rollouts")
    own.add_argument("--task", default="countdown", choices=TASKS)
    own.add_argument("--updates", type=int, default=Settings.updates, help="of a run, 16 a rollout")
    own.add_argument("--samples", type=int, default=Settings.samples, help="answers to each held-out problem")
    own.add_argument("--out", type=Path, required=True, help="JSON lines")
    own.add_argument("--device", default="cpu", choices=STACK_SIZE)
    own.add_argument("--stack", type=int, help="runs at once in a process: 15 on CPUs, 512 on a GPU")
    own.add_argument("--processes", type=int, default=1)
    return own


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what has no line yet; return the exit code."""
    options = parser().parse_args(arguments)
    settings = Settings(
        task=options.task, updates=options.updates, samples=options.samples, evaluate_every=options.evaluate_every
    )
    try:
        specs, seeds = parse_specs(options.methods), parse_seeds(options.seeds)
        rates = [float(rate) for rate in options.lr.split(",")]
        rules_of(specs)
        _ = settings.rollouts
    except (ValueError, TypeError) as error:
        return parser().error(str(error))
    starts = options.starts.split(",")
    runs = [Run(*one, starts[one[2] % len(starts)]) for one in itertools.product(specs, rates, seeds)]
    jobs = pending([(settings, runs)], options.out, options.stack or STACK_SIZE[options.device])
    try:
        run_all(jobs, options.out, options.device, options.processes)
    except KeyboardInterrupt:
        print(f"stopped; finished runs are in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
