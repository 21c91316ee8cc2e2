"""How it is measured: peers take turns and the best turn counts; synchronisations and kernels by the profiler."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch._C._autograd import DeviceType

from bandpo.speed.peers import Batch, Peer

# Else the profiler reports every start and stop on standard output.
os.environ.setdefault("KINETO_LOG_LEVEL", "6")

# Reading a value back makes the host wait for the device; on the CPU the same operators are counted.
_ALLOCATION = "[memory]"
SYNCHRONISING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "cudaStreamSynchronize")


def seconds_of(peers: Sequence[Peer], batch: Batch, *, budget: float = 1.0, turns: int = 5) -> dict[str, float]:
    """Return each peer's best time in seconds; peers take turns, so that a busy moment hits them all.

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
    """Return the mean of that many runs on a CUDA device, where launches overlap; the fastest of them elsewhere."""
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
    """Count host synchronisations, device kernels (operators, on the CPU) and peak memory of one run."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if batch.logp.is_cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        torch.cuda.reset_peak_memory_stats()
    with torch.profiler.profile(activities=activities, profile_memory=not batch.logp.is_cuda) as profile:
        peer.work(batch)
    events = profile.events() or []
    kernels = [event for event in events if event.device_type == DeviceType.CUDA]
    operators = sum(event.name != _ALLOCATION for event in events)
    found: dict[str, Any] = {
        "synchronisations": sum(event.name in SYNCHRONISING for event in events),
        "kernels" if batch.logp.is_cuda else "operators": len(kernels) if batch.logp.is_cuda else operators,
    }
    peak = torch.cuda.max_memory_allocated() if batch.logp.is_cuda else _peak_bytes(profile)
    found["peak bytes a token"] = peak / batch.logp.numel()
    return found


def _peak_bytes(profile: torch.profiler.profile) -> int:
    """Return the most that was allocated at a time beyond what was there before, from the profiler's records."""
    results: Any = profile.profiler.kineto_results  # pyright: ignore[reportOptionalMemberAccess]
    records = [event for event in results.events() if event.name() == _ALLOCATION]
    changes = [event.nbytes() for event in sorted(records, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(changes), default=0)
