"""How it is measured: peers take turns and the best turn counts; synchronisations and kernels by the profiler."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch._C._autograd import DeviceType

from bandpo.bench.peers import Batch, Peer

# Else the profiler reports every start and stop on standard output.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

# Reading a value back makes the host wait for the device; on the CPU the same operators are counted.
SYNCHRONISING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "cudaStreamSynchronize")


def seconds_of(peers: Sequence[Peer], batch: Batch, *, budget: float = 1.0, turns: int = 5) -> dict[str, float]:
    """Best time of each peer in seconds; peers take turns, so that a busy moment of the machine hits them all.

    Args:
        peers: what to run; each is run twice before it is timed.
        batch: the tokens.
        budget: seconds each peer may take altogether, at least one run a turn.
        turns: how often the peers take turns.
    """
    best: dict[str, float] = {}
    runs: dict[str, int] = {}
    for peer in peers:
        peer.work(batch)
        once = _time(peer, batch, 1)
        best[peer.name], runs[peer.name] = once, max(1, min(1000, int(budget / turns / max(once, 1e-7))))
    for _ in range(turns):
        for peer in peers:
            best[peer.name] = min(best[peer.name], _time(peer, batch, runs[peer.name]))
    return best


def _time(peer: Peer, batch: Batch, runs: int) -> float:
    """Mean of that many runs on a CUDA device, where launches overlap; the fastest of them elsewhere."""
    if batch.logp.is_cuda:
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(runs):
            peer.work(batch)
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / runs
    fastest = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        peer.work(batch)
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def counts_of(peer: Peer, batch: Batch) -> dict[str, Any]:
    """Host synchronisations and device kernels (operators, on the CPU) of one run, and its peak memory on CUDA."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if batch.logp.is_cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        torch.cuda.reset_peak_memory_stats()
    with torch.profiler.profile(activities=activities) as profile:
        peer.work(batch)
    events = profile.events() or []
    kernels = [event for event in events if event.device_type == DeviceType.CUDA]
    found: dict[str, Any] = {
        "synchronisations": sum(event.name in SYNCHRONISING for event in events),
        "kernels" if batch.logp.is_cuda else "operators": len(kernels) if batch.logp.is_cuda else len(events),
    }
    if batch.logp.is_cuda:
        found["peak bytes a token"] = torch.cuda.max_memory_allocated() / batch.logp.numel()
    return found
