"""How fast recorded tokens are inspected, in which memory, and what recording costs a training step.

python benchmarks/inspection.py [--tokens 1e6,1e7,1e8]     writes benchmarks/results/inspection.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.file import as_bytes
from bandpo.microscope.recorder import Recorder
from bandpo.store.machine import environment

RESULTS = Path(__file__).parent / "results" / "inspection.json"
ROWS, WIDTH = 1000, 1000  # of one file, a million tokens
INSPECT = """
import resource, sys, time
import bandpo
start = time.perf_counter()
found = bandpo.inspect(sys.argv[1])
print(found.tokens, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
print(found.verdict[0], file=sys.stderr)
"""


def batch(seed: int, rows: int = ROWS, width: int = WIDTH) -> TokenBatch:
    """Return a made-up batch of sequences that moved a little, half of them good."""
    generator = torch.Generator().manual_seed(seed)
    logp_old = -torch.rand(rows, width, generator=generator).square() * 8 - 1e-3
    logp = (logp_old + 0.1 * torch.randn(rows, width, generator=generator)).clamp_max(-1e-4)
    advantages = torch.randn(rows, 1, generator=generator).expand(rows, width)
    ids = torch.randint(50_000, (rows, width), generator=generator)
    mask = torch.ones(rows, width, dtype=torch.bool)
    settings = {"method": "band-kl", "options": {"delta": 0.05}}
    return TokenBatch(
        mask=mask, logp=logp, logp_old=logp_old, advantages=advantages, token_ids=ids, step=seed, settings=settings,
        groups=torch.arange(rows) // 8, is_first_use=False,
    )  # fmt: skip


def inspected(tokens: int) -> dict[str, float]:
    """Return seconds and the process's largest memory in GiB for this many tokens, in files of a million."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(max(tokens // (ROWS * WIDTH), 1)):
            Path(folder, f"step_{number:05d}.safetensors").write_bytes(as_bytes(batch(number)))
        words = [sys.executable, "-c", INSPECT, folder]
        out = subprocess.run(words, capture_output=True, text=True, check=True)
    found, seconds, memory = out.stdout.split()
    return {"tokens": int(found), "seconds": round(float(seconds), 1), "peak_gib": round(float(memory), 2)}


def recording(rows: int = 64, width: int = 7, repeats: int = 200) -> dict[str, float]:
    """Return the milliseconds that recording holds up the training thread, for a micro-batch of the embedded task."""
    seen = batch(0, rows, width)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(folder)
        costs = []
        for _ in range(repeats):
            start = time.perf_counter()
            recorder.record(seen)
            costs.append(1000 * (time.perf_counter() - start))
            recorder.wait()
    return {"tokens": rows * width, "median_ms": sorted(costs)[repeats // 2]}


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", default="1e6,1e7,1e8")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    results = {
        "inspection": [inspected(int(float(size))) for size in args.tokens.split(",")],
        "recording": recording(),
        "load": os.getloadavg()[0],
        "environment": environment(),
        "command": f"python benchmarks/inspection.py --tokens {args.tokens}",
    }
    for row in results["inspection"]:
        print(f"{row['tokens']:>12,} tokens: {row['seconds']:.1f} s, {row['peak_gib']:.2f} GiB at most")
    print(f"recording {results['recording']['tokens']} tokens: {results['recording']['median_ms']:.2f} ms")
    args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
