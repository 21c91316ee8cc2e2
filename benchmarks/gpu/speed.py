"""What a pass of the loss costs: launches by the profiler, the host's time, and the device's by graphs of many passes.

The peers are those of `bandpo bench`. What has to be compiled comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bandpo.speed.measure import counts_of, seconds_of
from bandpo.speed.peers import Batch, Peer, bound_peers, loss_peers, make_batch
from benchmarks import host_cost
from benchmarks.gpu.devices import captured, synchronize
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting

TURNS = 5
PLAIN: dict[str, Any] = {"metrics": False, "check": False, "aggregation": "token-mean"}
WITH_METRICS: dict[str, Any] = {**PLAIN, "metrics": True}
Run = Callable[[], Any]


def seconds_in_graph(work: Run, device: str, passes: int) -> float:
    """Return the device's seconds of one pass: a graph of many, replayed, so that the host has no part in it."""

    def all_passes() -> list[Any]:
        for _ in range(passes):
            work()
        return []

    replay, _ = captured(all_passes, device)
    replay()
    best = float("inf")
    for _ in range(TURNS):
        synchronize(device)
        started = time.perf_counter()
        replay()
        replay()
        synchronize(device)
        best = min(best, (time.perf_counter() - started) / (2 * passes))
    return best


def _of(peers: list[Peer], name: str) -> Peer:
    return next(peer for peer in peers if peer.name.startswith(name))


def measure(setting: Setting, record: Record) -> None:
    """Answer what can be answered without compiling first, small sizes before large ones."""
    small, middle, large = (200, 400, 800) if setting.is_small else (32_000, 16_000_000, 100_000_000)
    device = setting.device
    _launches(record, device, small)
    _host(record, device)
    _eager_metrics(record, device, small)
    record.add("graph_32k", seconds_in_graph(host_cost.work(PLAIN, tokens=small, device=device), device, 20) * 1e6)
    _against_copy(record, device, "graph_16m", middle, passes=5)
    _bounds(record, device, middle)
    _against_copy(record, device, "graph_1e8", large, passes=2)
    _compiled(record, device, small)


def _launches(record: Record, device: str, tokens: int) -> None:
    batch = make_batch(tokens, device)
    for key, options in (("launches", PLAIN), ("launches_metrics", WITH_METRICS)):
        run = host_cost.work(options, tokens=tokens, device=device)
        run()
        synchronize(device)
        counts = counts_of(Peer(key, lambda _, run=run: run()), batch)
        record.add(key, counts["kernels" if device == "cuda" else "operators"])
        if key == "launches":
            record.add("syncs", counts["synchronisations"])


def _host(record: Record, device: str) -> None:
    """Time what the host does until it has launched all: too few tokens for the device to be behind."""
    runs = {"stock": host_cost.stock(device=device), "band": host_cost.work(PLAIN, device=device)}
    for run in runs.values():
        run()
    synchronize(device)
    times = host_cost.seconds(runs)
    synchronize(device)
    record.add("host_us", times["band"] * 1e6)
    record.add("host_ratio", times["band"] / times["stock"], f"stock {times['stock'] * 1e6:.0f} µs")


def _eager_metrics(record: Record, device: str, tokens: int) -> None:
    runs = {
        name: host_cost.work(options, tokens=tokens, device=device)
        for name, options in (("without", PLAIN), ("with", WITH_METRICS))
    }
    peers = [Peer(name, lambda _, run=run: run()) for name, run in runs.items()]
    times = seconds_of(peers, make_batch(tokens, device), budget=0.5)
    record.add("metrics_eager", times["with"] / times["without"], f"{times['without'] * 1e6:.0f} µs without")


def _against_copy(record: Record, device: str, key: str, tokens: int, *, passes: int) -> None:
    copied = _copy(_of(loss_peers(device), "memory copy"), tokens, device, passes)
    plain = seconds_in_graph(host_cost.work(PLAIN, tokens=tokens, device=device), device, passes)
    record.add(key, plain / copied, f"{plain * 1e6:.1f} µs, copy {copied * 1e6:.1f} µs")
    if key == "graph_16m":
        full = seconds_in_graph(host_cost.work(WITH_METRICS, tokens=tokens, device=device), device, passes)
        record.add("metrics_graph", full / plain, f"{full * 1e6:.1f} µs")


def _copy(peer: Peer, tokens: int, device: str, passes: int) -> float:
    batch = make_batch(tokens, device)
    return seconds_in_graph(lambda: peer.work(batch), device, passes)


def _bounds(record: Record, device: str, tokens: int) -> None:
    peers, batch = bound_peers(device), make_batch(tokens, device)
    kernel = _of(peers, "band, one kernel" if device == "cuda" else "band, eager")
    copied = _copy(_of(peers, "memory copy"), tokens, device, 5)
    seconds = seconds_in_graph(lambda: kernel.work(batch), device, 5)
    record.add("bounds_16m", seconds / copied, f"{seconds * 1e6:.1f} µs")


def _compiled(record: Record, device: str, tokens: int) -> None:
    """Compile last: it takes as long as all else together; on the CPU the eager loss stands in."""
    name = "band-kl, compiled" if device == "cuda" else "band-kl, eager"
    peer, batch = _of(loss_peers(device), name), make_batch(tokens, device)
    started = time.perf_counter()
    _finished(peer, batch, device)
    first = time.perf_counter() - started
    record.add("compile_seconds", first)
    record.add("compiled_us", seconds_of([peer], batch, budget=0.5)[name] * 1e6)


def _finished(peer: Peer, batch: Batch, device: str) -> None:
    peer.work(batch)
    synchronize(device)
