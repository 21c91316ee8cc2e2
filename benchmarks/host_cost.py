"""What a CUDA loss costs the host, without a GPU: launches, transfers and Python calls of an eager `policy_loss`.

    python -m benchmarks.host_cost [--label TEXT]

Forward and backward pass take the kernels' path on CPU tensors, with stubs in the place of the compiled Triton kernels:
all that is left is our host code and torch's. Times are ratios to the stock PPO clip in the same process, whose tensors
are as small; what Triton's own launcher takes is in neither. Writes benchmarks/results/host_cost.json, by label, and
the table of docs/gpu.md.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import bandpo
from bandpo.kernels import averaging, clip_loss_triton
from bandpo.kernels.blocks import Outputs
from bandpo.speed.peers import make_batch, stock_clip
from benchmarks.marks import put

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "host_cost.json", ROOT / "docs" / "gpu.md"
START = "<!-- table: python -m benchmarks.host_cost -->\n"
SOURCE = str(Path(bandpo.__file__).parent)
SETTINGS: dict[str, dict[str, Any]] = {
    "loss": {"metrics": False, "check": False},
    "loss, token-mean": {"metrics": False, "check": False, "aggregation": "token-mean"},
    "loss, checked": {"metrics": False},
    "loss with metrics": {"check": False},
    "loss with metrics, checked": {},
}
TOKENS, TURNS, RUNS = 8, 30, 50
MEASURED = {
    **SETTINGS,
    "loss, checked, a radius for each token": {"metrics": False, "delta": torch.full((1, TOKENS), 0.05)},
}
# Among the kernel's arguments, behind the six inputs that come first.
PARTS, SUMMARY = (6 + Outputs._fields.index(name) for name in ("parts", "summary"))


class Cost(NamedTuple):
    """Of one forward and backward pass.

    Attributes:
        launches: kernels of ours and operators of torch that would be one on a device.
        transfers: values read back, each of which waits for the device.
        calls: Python calls of functions of this package.
    """

    launches: int
    transfers: int
    calls: int


class Stub:
    """A compiled Triton kernel that counts how often it is launched; of what it should fill, sums are 0."""

    def __init__(self) -> None:
        self.launches = 0

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        return self.launch

    def launch(self, *arguments: Any, **constants: Any) -> None:
        self.launches += 1
        if "METRICS" in constants:
            for filled in (arguments[PARTS], arguments[SUMMARY]):
                # Past torch, which counts what is done to tensors.
                ctypes.memset(filled.data_ptr(), 0, filled.nbytes)


class Operators(TorchDispatchMode):
    """Counts torch's operators that would launch a kernel or read a value back: neither views nor bare memory."""

    launches = transfers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_view = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
        if func is torch.ops.aten._local_scalar_dense.default:
            self.transfers += 1
        elif not is_view and "::empty" not in func.name():
            self.launches += 1
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def stubbed() -> Iterator[Stub]:
    """Have every loss take the kernels' path, with one stub for all of the loss's kernels."""
    stub = Stub()
    with (
        mock.patch("bandpo.core.regions.dispatch.runs_kernels", lambda tensor: True),
        mock.patch.object(clip_loss_triton, "_clip_loss", stub),
        mock.patch.object(averaging, "_scale", stub),
    ):
        yield stub


def work(
    options: dict[str, Any], method: str = "band-kl", tokens: int = TOKENS, device: str = "cpu"
) -> Callable[[], None]:
    """Return a forward and backward pass of `policy_loss`."""
    batch, one = make_batch(tokens, device), torch.ones((), device=device)

    def run() -> None:
        torch.autograd.backward(bandpo.policy_loss(*batch, method=method, **options).loss, one)
        batch.logp.grad = None

    return run


def stock(tokens: int = TOKENS, device: str = "cpu") -> Callable[[], None]:
    """Return a forward and backward pass of the stock PPO clip."""
    batch, one = make_batch(tokens, device), torch.ones((), device=device)

    def run() -> None:
        torch.autograd.backward(stock_clip(batch), one)
        batch.logp.grad = None

    return run


class _Nothing(torch.autograd.Function):
    """What any loss with a gradient of its own has to do."""

    @staticmethod
    def forward(ctx: Any, logp: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(torch.empty_like(logp))
        return logp.new_empty(())

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> torch.Tensor:
        return ctx.saved_tensors[0]


def nothing() -> Callable[[], None]:
    """Return a forward and backward pass in which nothing is computed."""
    logp, one = make_batch(TOKENS, "cpu").logp, torch.ones(())

    def run() -> None:
        torch.autograd.backward(_Nothing.apply(logp), one)
        logp.grad = None

    return run


def cost(run: Callable[[], None], stub: Stub) -> Cost:
    """Count what one run costs; it has run before, so that nothing is looked up for the first time."""
    run()
    before = stub.launches
    with Operators() as operators:
        run()
    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(SOURCE)

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    launches = (stub.launches - before) // 2 + operators.launches
    return Cost(launches, operators.transfers, calls)


def seconds(runs: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Return the fastest of each; they take turns, so that a busy moment hits them all."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(TURNS):
        for name, run in runs.items():
            for _ in range(RUNS):
                started = time.perf_counter()
                run()
                best[name] = min(best[name], time.perf_counter() - started)
    return best


def measure() -> dict[str, Any]:
    """Return counts and times of every setting."""
    torch.set_num_threads(1)
    with stubbed() as stub:
        runs = {name: work(options) for name, options in MEASURED.items()} | {
            "an autograd function of nothing": nothing()
        }
        counts = {name: cost(run, stub) for name, run in runs.items()}
        times = seconds({"stock": stock(), **runs})
    run = stock()
    with Operators() as operators:
        run()
    rows = {
        name: {
            **counts[name]._asdict(),
            "microseconds": round(times[name] * 1e6, 1),
            "of stock": round(times[name] / times["stock"], 2),
        }
        for name in runs
    }
    return {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "stock": {"launches": operators.launches, "microseconds": round(times["stock"] * 1e6, 1)},
        "settings": rows,
    }


def table(found: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    lines = ["| | launches | transfers | Python calls of ours | times the stock clip's |", "|---|---|---|---|---|"]
    lines.append(f"| stock PPO clip | {found['stock']['launches']} | 0 | 0 | 1 |")
    for name, row in found["settings"].items():
        lines.append(f"| {name} | {row['launches']} | {row['transfers']} | {row['calls']} | {row['of stock']:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a CUDA loss costs the host, with stubs for kernels.")
    parser.add_argument("--label", default="now", help="under which name the numbers are kept")
    label = parser.parse_args().label
    found = measure()
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    kept.pop(label, None)  # the newest stands last, and on the page
    RESULTS.write_text(json.dumps({**kept, label: found}, indent=2) + "\n")
    put(PAGE, START, table(found))
    for name, row in found["settings"].items():
        print(f"{name}: {', '.join(f'{value} {what}' for what, value in row.items())}")


if __name__ == "__main__":
    main()
