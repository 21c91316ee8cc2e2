"""Compare methods over seeds: run them in parallel, then means with standard errors and paired differences.

Every run is a `bandpo train` of its own in OUT/METHOD/seed-N, so a comparison that is cut short goes on where it was,
and seeds or methods can be added later.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from bandpo.runs.folder import EVALUATIONS, METRICS, RunFolder, environment, to_json
from bandpo.views.specs import Spec as Spec
from bandpo.views.specs import parse_specs as parse_specs

_NOT_COMPARED = ("step", "problems", "errors")
_NOT_IN_TABLE = ("well-formed",)
_LABELS = {"entropy": "entropy, nats a token"}
_POLL_SECONDS = 1.0
_MOST_SEEDS = 10_000


def parse_seeds(text: str) -> list[int]:
    """A count, a range or a list of seeds.

    Raises:
        ValueError: none of the three.

    >>> parse_seeds("3"), parse_seeds("100-102"), parse_seeds("7,9")
    ([0, 1, 2], [100, 101, 102], [7, 9])
    """
    try:
        seeds: Sequence[int]
        if "," in text:
            seeds = [int(part) for part in text.split(",") if part.strip()]
        elif "-" in text:
            first, last = map(int, text.split("-"))
            seeds = range(first, last + 1)
        else:
            seeds = range(int(text))
    except ValueError:
        seeds = []
    if len(seeds[: _MOST_SEEDS + 1]) > _MOST_SEEDS:
        raise ValueError(f"--seeds {text}: expected {_MOST_SEEDS:,} seeds at most")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {text!r}: expected a count (5), a range (100-109) or a list (1,2,5)")
    return list(seeds)


def run_folder(out: Path, spec: Spec, seed: int) -> RunFolder:
    """Where a method's run with this seed is."""
    return RunFolder(out / spec.folder_name / f"seed-{seed}")


def train_arguments(out: Path, spec: Spec, seed: int, options: Sequence[str]) -> list[str]:
    """What `bandpo train` is called with for one run."""
    arguments = [*options, "--method", spec.method, "--seed", str(seed)]
    if spec.hyperparameters:
        arguments += ["--method_kwargs", json.dumps(dict(spec.hyperparameters))]
    return [*arguments, "--output_dir", str(run_folder(out, spec, seed).path), "--disable_tqdm", "true"]


def run_all(
    specs: Sequence[Spec], seeds: Sequence[int], out: Path, options: Sequence[str], jobs: int | None = None
) -> list[str]:
    """Run every method with every seed that is not complete yet; return one line for each run that failed.

    Args:
        specs, seeds: what to run; seeds outermost, so that every method gets as far as the others.
        out: folder of the comparison.
        options: further options of `bandpo train`, the same for all.
        jobs: processes at a time, each on its share of the cores; as many as cores if None.

    Raises:
        ValueError: fewer than one job.
    """
    cores = os.cpu_count() or 1
    jobs = cores if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"--jobs {jobs}: expected at least 1")
    folders = [(spec, seed, run_folder(out, spec, seed)) for seed in seeds for spec in specs]
    waiting = [entry for entry in folders if not entry[2].is_complete()]
    running: list[tuple[subprocess.Popen, RunFolder]] = []
    failed: list[str] = []
    bar = tqdm(total=len(folders), desc="runs", bar_format="{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]")
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                spec, seed, folder = waiting.pop(0)
                arguments = train_arguments(out, spec, seed, options)
                running.append((_start(arguments, folder, max(1, cores // jobs)), folder))
            time.sleep(_POLL_SECONDS)
            for process, folder in list(running):
                if process.poll() is not None:
                    running.remove((process, folder))
                    if process.returncode:
                        failed.append(f"{folder.path}: {_last_line(folder.path.with_suffix('.log'))}")
            bar.n = sum(folder.is_complete() for _, _, folder in folders)
            bar.n += sum(_progress(folder) for _, folder in running)
            bar.refresh()
    finally:
        for process, _ in running:
            process.terminate()
        for process, _ in running:
            process.wait()
        bar.close()
    return failed


def _start(arguments: Sequence[str], folder: RunFolder, threads: int) -> subprocess.Popen:
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bandpo", "train", *arguments]
    with folder.path.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
        )


def _progress(folder: RunFolder) -> float:
    """How far a run is, in 0..1."""
    records = folder.read(METRICS)
    if not records:
        return 0.0
    total = (folder.config() or {}).get("max_steps", 0)
    return min(records[-1]["step"] / total, 1.0) if total > 0 else 0.0


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines() if path.is_file() else []
    return lines[-1] if lines else "no output"


def summarise(specs: Sequence[Spec], seeds: Sequence[int], out: Path) -> dict[str, Any]:
    """Scores of every run, mean and standard error per method, and differences paired by seed.

    The 95 % interval and p value of a difference are those of the paired t test, uncorrected for their number.

    Raises:
        ValueError: a run that was not evaluated.
    """
    runs = {spec.label: [run_folder(out, spec, seed) for seed in seeds] for spec in specs}
    results = {label: [folder.result() for folder in folders] for label, folders in runs.items()}
    unscored = [
        run.path for label in runs for run, r in zip(runs[label], results[label], strict=True) if not r["after"]
    ]
    if unscored:
        raise ValueError(f"{unscored[0]} has no evaluation: expected --eval_dataset with problems to compare on")
    first, config = next(iter(results.values()))[0], next(iter(runs.values()))[0].config() or {}
    names = [name for name in first["after"] if name not in _NOT_COMPARED]
    scores = {label: {name: [r["after"][name] for r in rows] for name in names} for label, rows in results.items()}
    return {
        "seeds": list(seeds),
        "start": first["before"],
        "methods": {
            label: {name: {**_mean(values), "values": values} for name, values in by_name.items()}
            for label, by_name in scores.items()
        },
        "differences": [
            {"methods": [a, b], **{name: _paired(scores[a][name], scores[b][name]) for name in names}}
            for b, a in combinations(scores, 2)
        ],
        "curves": {label: _curves(folders, names) for label, folders in runs.items()},
        "config": {name: value for name, value in config.items() if name not in ("method", "method_kwargs", "seed")},
        "environment": environment(),
        "command": shlex.join(["bandpo", *sys.argv[1:]]),
    }


def _mean(values: Sequence[float]) -> dict[str, float | None]:
    spread = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "se": spread}


def _paired(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    difference = np.subtract(a, b)
    entry: dict[str, Any] = _mean(difference.tolist())
    if len(difference) > 1 and np.ptp(difference) > 0:
        test = stats.ttest_rel(a, b)
        low, high = test.confidence_interval(0.95)
        entry |= {"low": float(low), "high": float(high), "p": float(test.pvalue)}
    return entry


def _curves(folders: Sequence[RunFolder], names: Sequence[str]) -> dict[str, list]:
    """Mean and standard error over seeds at every evaluated step."""
    records = [folder.read(EVALUATIONS) for folder in folders]
    steps = [record["step"] for record in records[0]]
    curves: dict[str, list] = {"step": steps}
    for name in names:
        values = np.array([[record[name] for record in run] for run in records])
        error = values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.zeros(len(steps))
        curves[name], curves[f"{name} se"] = values.mean(0).tolist(), error.tolist()
    return curves


def write_report(summary: dict[str, Any], out: Path) -> str:
    """Write results.json, table.md and curves.png to the comparison's folder; return the table."""
    (out / "results.json").write_text(to_json(summary, indent=1) + "\n", encoding="utf-8")
    table = _table(summary)
    (out / "table.md").write_text(table, encoding="utf-8")
    _plot(summary, out / "curves.png")
    return table


def _scores(summary: dict[str, Any]) -> list[str]:
    return list(next(iter(summary["methods"].values())))


def _table(summary: dict[str, Any]) -> str:
    names = [name for name in _scores(summary) if name not in _NOT_IN_TABLE]
    count = len(summary["seeds"])
    lines = [f"Mean ± standard error over {count} seeds ({_seeds_text(summary['seeds'])}).", ""]
    lines += ["| method | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines += ["| *start* | " + " | ".join(f"{summary['start'][name]:.3f}" for name in names) + " |"]
    for label, scores in summary["methods"].items():
        lines.append(f"| {label} | " + " | ".join(_plus_minus(scores[name]) for name in names) + " |")
    if count > 1:
        lines += ["", "Differences paired by seed; p of the paired t test, uncorrected.", ""]
        lines += ["| difference | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
        for entry in summary["differences"]:
            cells = (_signed(entry[name]) for name in names)
            lines.append(f"| {entry['methods'][0]} − {entry['methods'][1]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _seeds_text(seeds: Sequence[int]) -> str:
    is_range = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}..{seeds[-1]}" if is_range else ", ".join(map(str, seeds))


def _plus_minus(entry: dict[str, Any]) -> str:
    return f"{entry['mean']:.3f}" + ("" if entry["se"] is None else f" ± {entry['se']:.3f}")


def _signed(entry: dict[str, Any]) -> str:
    text = f"{entry['mean']:+.3f}" + ("" if entry["se"] is None else f" ± {entry['se']:.3f}")
    return text + (f" (p={entry['p']:.2g})" if "p" in entry else "")


def _plot(summary: dict[str, Any], path: Path) -> None:
    from bandpo.views.style import curve_figure

    chances, means = ([name for name in _scores(summary) if name.startswith(kind)] for kind in ("pass@", "mean@"))
    title = f"mean ± standard error over {len(summary['seeds'])} seeds"
    figure = curve_figure(summary["curves"], ["entropy", *chances[-1:], *means], title, labels=_LABELS)
    figure.savefig(path, dpi=160)
