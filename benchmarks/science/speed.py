"""How many whole runs a minute: stacked, and in processes of their own.

    python -m benchmarks.science.speed [--stacks 1,8,32] [--rollouts 3]

Writes benchmarks/results/science_speed.json and .md. A few rollouts are timed and carried on to a run of 150 rollouts
and 6 evaluations; a process of its own is `bandpo train`, start included, with 2 evaluations. Time is that of the
processor, so that other work on the machine does not count; two cores have 120 seconds of it a minute.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bandpo.speed.report import machine
from bandpo.views.specs import parse_specs
from benchmarks.science.run import settle
from benchmarks.science.stack import Run, Settings, Stack

RESULTS = Path(__file__).parents[1] / "results"
ROLLOUTS, EVALUATIONS, CORES = 150, 6, 2
START = "countdown-2"  # the one of `bandpo train`
METHODS = "grpo,clip-higher,band-kl,band-upper:eps_low=0.05"


def stacked(size: int, rollouts: int, device: str) -> dict[str, float]:
    """Return the seconds of one run in a stack of this size, and of its parts."""
    specs = parse_specs(METHODS)
    settings = Settings(updates=16 * (rollouts + 1))
    clock = time.process_time if device == "cpu" else _synchronised
    stack = Stack([Run(specs[run % len(specs)], 1e-4, run, START) for run in range(size)], settings, device)
    stack.rollout()
    began = clock()
    for _ in range(rollouts):
        stack.rollout()
    trained = clock()
    stack.evaluator(stack.policies)
    rollout, evaluation = (trained - began) / rollouts / size, (clock() - trained) / size
    return {
        "seconds": ROLLOUTS * rollout + EVALUATIONS * evaluation,
        "a rollout": rollout,
        "an evaluation": evaluation,
    }


def _synchronised() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def separate(short: int, long: int) -> dict[str, float]:
    """Return the processor's seconds of `bandpo train`, from two lengths in rollouts.

    They are far enough apart for the seconds that one start takes more than another not to matter.
    """
    few, many = (_process(rollouts) for rollouts in (short, long))
    rollout = (many - few) / (long - short)
    return {"seconds": few + (ROLLOUTS - short) * rollout, "a rollout": rollout, "start and two evaluations": few}


def _process(rollouts: int) -> float:
    """Return the processor's seconds of a whole process that trains for so many rollouts."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bandpo", "train", "--learning_rate", "1e-4", "--output_dir", f"{folder}/run"]
        command += ["--max_steps", str(16 * rollouts), "--save_strategy", "no"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as Markdown, with runs a minute and how many times those of separate processes."""
    lines = [
        "| | seconds a run | a rollout | runs a minute | times separate processes |",
        "|---|---:|---:|---:|---:|",
    ]
    base = rows.get("separate processes", {}).get("seconds")
    for name, row in rows.items():
        factor = f"{base / row['seconds']:.1f}" if base else ""
        lines.append(
            f"| {name} | {row['seconds']:.1f} | {row['a rollout']:.3f} | {row['runs a minute']:.2f} | {factor} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", default="1,8,32", help="runs of a stack, between commas")
    parser.add_argument("--rollouts", type=int, default=3, help="timed, behind one that is not")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--no-separate", action="store_true", help="stacks alone; writes nothing")
    options = parser.parse_args()
    settle()
    measured: dict[str, Callable[[], dict[str, float]]] = {
        f"stacks of {size}": partial(stacked, size, options.rollouts, options.device)
        for size in map(int, options.stacks.split(","))
    }
    if not options.no_separate:
        measured = {"separate processes": partial(separate, 5, 35), **measured}
    rows: dict[str, dict[str, Any]] = {}
    for name, measure in measured.items():
        is_gpu = options.device == "cuda" and name != "separate processes"
        row = measure()
        rows[name] = {**row, "runs a minute": 60 * (1 if is_gpu else CORES) / row["seconds"]}
        print(name, {part: round(value, 3) for part, value in rows[name].items()}, file=sys.stderr, flush=True)
    print(table(rows))
    if not options.no_separate:
        name = "science_speed" if options.device == "cpu" else "science_speed_gpu"
        result = {"machine": machine(options.device, 1), "rows": rows}
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (RESULTS / f"{name}.md").write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
