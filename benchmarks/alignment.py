"""How often `diagnose` names a planted fault, and how often it raises a false alarm, with numeric noise added.

    python -m benchmarks.alignment [--quick] [--page] [--beds C Q] [--tuning] [--faults WORDS]

Writes benchmarks/results/alignment.json, with --page the table of docs/alignment.md too. Every fault is planted on 100
batches of about 4,000 tokens of two small real policies, with seeds and prompts that no threshold was set on; --tuning
takes the others. Noise of sigma (1 - p) is added to the new side.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from bandpo.microscope.alignment import diagnose
from bandpo.speed.report import machine
from benchmarks.alignment_beds import BEDS
from benchmarks.alignment_faults import Fault, Planter, faults
from benchmarks.alignment_page import write_page

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "alignment.json"
SIGMAS = (0.0, 0.003, 0.02)
BATCHES, CHECKED = 100, 5
GROUPS = {"C": 365, "Q": 96}
TUNING, HELD_OUT = 1_000, 900_000


def is_right(truth: str, verdict: str, one_of: tuple[str, ...]) -> bool:
    """Return whether the truth is the verdict or one of at most three named beside it; clean must be clean."""
    return verdict == truth or (truth != "aligned" and truth in one_of and len(one_of) <= 3)


def trial(planter: Planter, fault: Fault, sigma: float, batches: int, checked: int) -> dict[str, Any]:
    """Diagnose so many batches of a fault; the first `checked` with their confidence."""
    pool, seed = planter.pool(fault), planter.seed * 10_000
    said: Counter[str] = Counter()
    sure: Counter[str] = Counter()
    right = named = 0
    for number in range(batches):
        batch = planter.batch(fault, pool, seed + number, sigma)
        found = diagnose(**batch, halves=8 if number < checked else 0)
        is_good = is_right(fault.truth, found.verdict, found.one_of)
        right, named = right + is_good, named + (found.verdict == fault.truth)
        said[" | ".join((found.verdict, *found.one_of))] += 1
        if number < checked:
            sure[f"{found.confidence.word}, {'right' if is_good else 'wrong'}"] += 1
    return {"truth": fault.truth, "right": right, "named": named, "said": dict(said.most_common()), "sure": dict(sure)}


def run_bed(name: str, batches: int, checked: int, groups: int, held_out: bool, words: str) -> dict[str, Any]:
    """Return the trials of one bed: fault -> sigma -> counts."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    planter = Planter(BEDS[name](), groups, HELD_OUT if held_out else TUNING, held_out)
    made = time.perf_counter() - began
    results: dict[str, Any] = {}
    for fault in faults(name):
        if words not in fault.name:
            continue
        results[fault.name] = {f"{s:g}": trial(planter, fault, s, batches, checked) for s in SIGMAS}
        line = " ".join(f"{each['right']:4d}" for each in results[fault.name].values())
        print(f"{name} {fault.name:32s} {line}   {next(reversed(results[fault.name].values()))['said']}", flush=True)
    seconds = {"model": made, "all": time.perf_counter() - began}
    return {"faults": results, "batches": batches, "seconds": {key: round(value, 1) for key, value in seconds.items()}}


def main() -> None:
    """Run the beds side by side and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three batches a fault; writes nothing")
    parser.add_argument("--page", action="store_true", help="write the table of docs/alignment.md")
    parser.add_argument("--beds", nargs="*", default=list(BEDS))
    parser.add_argument("--tuning", action="store_true", help="the batches that thresholds may be set on")
    parser.add_argument("--faults", default="", help="only those whose name holds these words")
    parser.add_argument("--batches", type=int, default=BATCHES, help="of each fault; fewer write nothing")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    batches, checked = (3, 0) if arguments.quick else (arguments.batches, CHECKED)
    groups = {name: count // 5 if arguments.quick else count for name, count in GROUPS.items()}
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {
            name: pool.submit(
                run_bed, name, batches, checked, groups[name], not arguments.tuning, arguments.faults
            )
            for name in arguments.beds
        }  # fmt: skip
        beds = {name: job.result() for name, job in jobs.items()}
    if arguments.tuning or arguments.faults or batches < BATCHES:
        return
    RESULT.write_text(json.dumps({"machine": machine("cpu", 1), "beds": beds}, indent=1, ensure_ascii=False) + "\n")
    if arguments.page:
        write_page(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
