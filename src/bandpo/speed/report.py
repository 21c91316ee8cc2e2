"""The benchmark as a whole: sizes, peers, counts and accuracy in one run; a table and a JSON file with the machine."""

from __future__ import annotations

import datetime
import importlib.util
import itertools
import json
import math
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bandpo.core.regions.band import band
from bandpo.core.regions.dispatch import has_triton
from bandpo.speed.measure import counts_of, seconds_of
from bandpo.speed.page import TITLES, markdown
from bandpo.speed.peers import DELTA, bisection_bounds, bound_peers, loss_peers, make_batch

# What the project set out to reach: (group, peer, against, factor, meaning).
TARGETS = (
    ("bounds", "bisection, 50 steps a side, eager", "band, compiled", 250.0, "at least"),
    ("loss", "band-kl, compiled", "grpo, compiled", 4.0, "at most"),
    ("loss", "band-kl, compiled", "stock PPO clip, eager", 1.0, "at most"),
)
CUDA_TARGETS = (
    ("loss", "band-kl, fused kernel", "memory copy, 25 bytes a token", 3.0, "at most"),
    ("loss", "band-kl, fused kernel", "stock PPO clip, eager", 1.0, "at most"),
)


def bench(
    sizes: Sequence[int],
    out: str | Path | None = None,
    *,
    device: str = "cpu",
    threads: int = 1,
    budget: float = 1.0,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the whole benchmark; with `out`, write it to that folder.

    Args:
        sizes: tokens; every group runs all of them.
        out: folder for speed_DEVICE.json and speed_DEVICE.md.
        device: "cpu" or "cuda".
        threads: of torch, on the CPU.
        budget: seconds a peer and size.
        tell: called with a line as each size is done.

    Raises:
        ValueError: no such device here, no sizes, a size, number of threads or budget that is not positive.
    """
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"device={device!r}: expected 'cpu' or, where torch sees one, 'cuda'")
    if not sizes or min(sizes) < 1 or threads < 1 or not budget > 0:
        raise ValueError(f"sizes={list(sizes)}, threads={threads}, budget={budget}: expected positive numbers")
    records = []
    for record in run(sorted(sizes), device, threads=threads, budget=budget):
        tell(f"{TITLES[record['group']]}: {record['tokens']:,} tokens")
        records.append(record)
    listed = ",".join(map(str, sorted(sizes)))
    result = {
        "command": f"bandpo bench --device {device} --threads {threads} --budget {budget:g} --sizes {listed}",
        "machine": machine(device, threads),
        "targets": verdicts(records, device),
        "accuracy": accuracy(device),
        "recompilations": recompilations(),
        "launch shapes": launch_shapes(max(sizes)) if device == "cuda" and has_triton() else {},
        "records": records,
    }
    if out is not None:
        write(result, Path(out))
    return result


def run(sizes: Sequence[int], device: str, *, threads: int, budget: float) -> Iterator[dict[str, Any]]:
    """Measure every peer at every size, one record at a time."""
    torch.set_num_threads(threads)
    peers_of = {"bounds": bound_peers(device), "loss": loss_peers(device)}
    if device == "cpu" and importlib.util.find_spec("trl") is not None:
        from bandpo.speed.trl_peers import trl_peers

        peers_of["loss"] += trl_peers()
    for group, peers in peers_of.items():
        for tokens in sizes:
            torch._dynamo.reset()
            batch = make_batch(tokens, device)
            fit = [peer for peer in peers if tokens <= peer.largest]
            yield {
                "group": group,
                "tokens": batch.logp.numel(),
                "seconds": seconds_of(fit, batch, budget=budget),
                "counts": {peer.name: counts_of(peer, batch) for peer in fit} if tokens <= 1e6 else {},
            }


def accuracy(device: str = "cpu", points: int = 200_000) -> dict[str, float]:
    """Return the largest distance of log r to the fp64 solution in fp32 ulp: every form of the band, and bisection."""
    logp = -torch.logspace(-6, math.log10(50), points, dtype=torch.float64).float().to(device)
    truth = band(logp.double(), DELTA)
    compiled = torch.compile(lambda x: band(x, DELTA, check=False), fullgraph=True)
    low, high = bisection_bounds(logp)
    forms = {
        "band, eager": band(logp, DELTA, kernel="torch"),
        "band, compiled": compiled(logp),
        "bisection, 50 steps a side, eager": (torch.log(low), torch.log(high)),
    }
    if device == "cuda" and has_triton():
        forms["band, one kernel"] = band(logp, DELTA, kernel="triton")
    return {name: max(map(worst_ulp, bounds, truth)) for name, bounds in forms.items()}


def worst_ulp(bound: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the largest distance to the truth, fp64, in fp32 units of the last place.

    >>> worst_ulp(torch.tensor([1.0 + 2**-23]), torch.tensor([1.0], dtype=torch.float64))
    1.0
    """
    ulp = torch.finfo(torch.float32).eps * 2.0 ** torch.floor(torch.log2(truth.abs()))
    return ((bound.double() - truth).abs() / ulp).nan_to_num(math.inf).max().item()


def launch_shapes(tokens: int) -> dict[str, float]:
    """Return nanoseconds a token of the fused Band-KL loss for each block size and number of warps it could have."""
    from bandpo.kernels import blocks as layout

    batch = make_batch(tokens, "cuda")
    (peer,) = [peer for peer in loss_peers("cuda") if peer.name == "band-kl, fused kernel"]
    fixed, nanoseconds = (layout.BLOCK, layout.WARPS), {}
    try:
        for block, warps in itertools.product((256, 512, 1024, 2048, 4096), (2, 4, 8)):
            layout.BLOCK, layout.WARPS = block, warps
            nanoseconds[f"{block} tokens, {warps} warps"] = (
                seconds_of([peer], batch, budget=0.2)[peer.name] / tokens * 1e9
            )
    finally:
        layout.BLOCK, layout.WARPS = fixed
    return nanoseconds


def recompilations() -> int:
    """Count the graphs compiled for three sizes of a batch with dynamic shapes, after the first two: 0 is right."""
    torch._dynamo.reset()
    function = torch.compile(lambda x: band(x, DELTA, check=False), fullgraph=True)
    counters = torch._dynamo.utils.counters["stats"]
    for rows in (3, 5):
        function(-torch.rand(rows, 64))
    before = counters["unique_graphs"]
    for rows in (7, 11, 13):
        function(-torch.rand(rows, 64))
    return counters["unique_graphs"] - before


def machine(device: str, threads: int) -> dict[str, Any]:
    """Return what the numbers were measured on."""
    packages = {"torch": torch.__version__, "python": platform.python_version()}
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "device": device,
        "gpu": gpu,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "packages": packages,
        "date": datetime.date.today().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def verdicts(records: Sequence[Mapping[str, Any]], device: str) -> list[dict[str, Any]]:
    """Return each target at the largest size that has both peers: the ratio measured, and whether it is reached."""
    judged = []
    for group, peer, against, factor, meaning in (*TARGETS, *(CUDA_TARGETS if device == "cuda" else ())):
        fit = [r for r in records if r["group"] == group and {peer, against} <= r["seconds"].keys()]
        if not fit:
            continue
        record = fit[-1]
        ratio = record["seconds"][peer] / record["seconds"][against]
        reached = ratio >= factor if meaning == "at least" else ratio <= factor
        entry = {"peer": peer, "against": against, "tokens": record["tokens"], "ratio": ratio}
        judged.append({**entry, "target": f"{meaning} {factor:g}", "reached": reached})
    return judged


def write(result: Mapping[str, Any], folder: Path) -> None:
    """Write speed_DEVICE.json and speed_DEVICE.md to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"speed_{result['machine']['device']}"
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(markdown(result), encoding="utf-8")
