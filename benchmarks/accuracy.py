"""Accuracy of every bound against 50-digit truth; exits with 1 if a target is missed.

    python benchmarks/accuracy.py [--results FOLDER] [--workers N]

Writes accuracy.json (all rows, with machine, versions and command) and accuracy.md (the table). Errors are of log r:

- ulp: distance to the truth in units of the last place of the dtype under test;
- ulp, conditioned: the same over max(ulp(log r), |d log r/d log p| · ulp(log p)): where a bound is about to reach
  r = 0, one ulp of the input moves log r by many, and no algorithm can do better than that;
- relative: |error|/|log r|, for divergences whose bounds are searched.

A lower bound whose true ratio underflows to 0 in the dtype must underflow too, and has no error then. A mismatch is a
bound at an end of the simplex where the truth is not, or the reverse. In brackets are those that rounding decides, left
out of the errors: the true bound at the next log-prob is of the kind that was found, or the true ratio is below the
smallest normal number of the dtype and 0 was found.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bandpo
from benchmarks import oracle

KL = ("kl", "kl-mirror")
CLOSED = ("tv", "chi2", "neyman-chi2", "hellinger", "le-cam")
SEARCHED = ("reverse-kl", "js", "jeffreys", "alpha=1.5", "alpha=-0.5", "alpha=3")
DTYPES = {"fp32": torch.float32, "fp64": torch.float64}
NEAR_ZERO = "MISS near r = 0 (PASS conditioned)"
SMALLEST_LOG = {torch.float32: -103.98, torch.float64: -745.14}

# Radii exact in fp32, so that a tensor of them holds the same numbers.
DELTAS = tuple(torch.tensor([1e-6, 1e-4, 1e-3, 0.01, 0.05, 0.3, 1.0, 5.0]).tolist())


class Target(NamedTuple):
    unit: str
    limit: float


def target(divergence: str, dtype: str) -> Target | None:
    """What is promised; the searched divergences promise nothing in fp32 beyond fp64 rounded."""
    if divergence in KL:
        return Target("ulp", 8 if dtype == "fp32" else 16)
    if divergence in CLOSED:
        return Target("ulp", 5)
    return Target("relative", 1e-6) if dtype == "fp64" else None


def log_probs(dtype: torch.dtype) -> list[float]:
    """84 log-probs exact in `dtype`: even in log(-log p), at switches of the code, and where bounds saturate."""
    even = -torch.logspace(-12, 2, 56, dtype=torch.float64)
    switches = [-math.log(2), -0.5, -1, -2, -5, -8, -10, -16.6, -20, -36.7, -49.9, -50.1, -60.1, -87.5, -95, -100]
    delta, h = 0.05, 0.025
    floors = torch.tensor([delta, delta / (1 + delta), h * (2 - h), 2 * delta / (2 + delta)], dtype=torch.float64).log()
    ceilings = torch.tensor([1 - delta, 1 / (1 + delta), (1 - h) ** 2, (2 - delta) / (2 + delta)]).double().log()
    points = torch.cat([even, torch.tensor(switches, dtype=torch.float64), floors, floors + 1e-4, ceilings])
    return sorted(points.to(dtype).double().tolist())


def radii(divergence: str) -> list[float]:
    supremum = bandpo.get_divergence(divergence.removesuffix("-mirror")).supremum
    return [delta for delta in DELTAS if delta < supremum]


def bounds(divergence: str, logp: Tensor, delta: float | Tensor) -> bandpo.Interval:
    if divergence == "kl-mirror":
        return bandpo.band(logp, delta, "kl", lower="mirror", upper="mirror")
    return bandpo.band(logp, delta, divergence)


def eager(divergence: str, logp: Tensor, delta: Tensor) -> bandpo.Interval:
    rows = [bounds(divergence, row, radius) for row, radius in zip(logp, delta[:, 0].tolist(), strict=True)]
    return bandpo.Interval(torch.stack([row.low for row in rows]), torch.stack([row.high for row in rows]))


def compiled(divergence: str, logp: Tensor, delta: Tensor) -> bandpo.Interval:
    torch._dynamo.reset()
    return torch.compile(lambda x, radius: bounds(divergence, x, radius), fullgraph=True, dynamic=False)(logp, delta)


MODES: dict[str, Callable[[str, Tensor, Tensor], bandpo.Interval]] = {
    "eager": eager,
    "eager, δ tensor": bounds,
    "compiled": compiled,
}


def ulp(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Spacing of `dtype` at the doubles x."""
    info = torch.finfo(dtype)
    exponent = torch.frexp(x.clamp(-info.max, info.max)).exponent.double() - 1
    return torch.exp2(exponent.clamp_min(math.log2(info.tiny)) + math.log2(info.eps))


class Side(NamedTuple):
    """Truth of one side of one divergence over a (radii, log-probs) grid, all fp64."""

    name: str
    divergence: str
    logp: Tensor
    delta: Tensor
    high: Tensor
    rest: Tensor
    saturated: Tensor
    slope: Tensor

    @classmethod
    def of(cls, name: str, divergence: str, points: list[float], deltas: list[float]) -> Side:
        truth = [[oracle.bound(divergence, x, delta, name == "high") for x in points] for delta in deltas]
        logp = torch.tensor(points, dtype=torch.float64).expand(len(deltas), -1).contiguous()
        delta = torch.tensor(deltas, dtype=torch.float64)[:, None].expand_as(logp)
        high, rest, saturated, slope = torch.tensor(truth, dtype=torch.float64).unbind(-1)
        return cls(name, divergence, logp, delta, high, rest, saturated > 0, slope)


def mismatches(found: Tensor, side: Side) -> tuple[Tensor, Tensor]:
    """Where found is at an end of the simplex and the truth is not, or the reverse; and where rounding decides that."""
    if side.name == "high":
        far = (found.double() - side.high).abs() > 4 * ulp(side.high, found.dtype)
        wrong = ((found.double() == -side.logp) != side.saturated) & far
        return wrong, torch.zeros_like(wrong)
    found_zero = torch.exp(found) == 0
    wrong = found_zero != (side.saturated | (side.high < SMALLEST_LOG[found.dtype]))
    rounding = wrong & found_zero & (side.high < math.log(torch.finfo(found.dtype).tiny))
    for row, column in wrong.nonzero().tolist():
        rounding[row, column] |= one_ulp_decides(side, row, column, bool(found_zero[row, column]), found.dtype)
    return wrong & ~rounding, rounding


def one_ulp_decides(side: Side, row: int, column: int, found_zero: bool, dtype: torch.dtype) -> bool:
    """Whether the true lower bound at a neighbouring log-prob is 0 exactly if the one found here is."""
    logp, delta = side.logp[row, column], side.delta[row, column].item()
    neighbours = (logp + step * ulp(logp, dtype) for step in (-1, 1))
    near = [oracle.bound(side.divergence, x.item(), delta, upward=False) for x in neighbours]
    return any((bound.saturated or bound.high < SMALLEST_LOG[dtype]) == found_zero for bound in near)


def measure(found: Tensor, side: Side) -> dict[str, Any]:
    """Errors of the bounds found, largest and 99th percentile, in each unit."""
    dtype, value, high = found.dtype, found.double(), side.high
    wrong, decided_by_rounding = mismatches(found, side)
    zero = (side.saturated | (high < SMALLEST_LOG[dtype])) if side.name == "low" else torch.zeros_like(wrong)
    counted = ~zero & ~decided_by_rounding
    error = ((value - high) - side.rest).abs()[counted]
    last_place = ulp(high, dtype)[counted]
    moved_by_input = side.slope.abs()[counted] * ulp(side.logp, dtype)[counted]
    errors = {
        "ulp": error / last_place,
        "conditioned": error / torch.maximum(last_place, moved_by_input),
        "relative": error / high.abs()[counted],
    }
    worst = errors["ulp"].argmax()
    at = {"logp": side.logp, "delta": side.delta, "truth": high, "found": value}
    return {
        "points": found.numel(),
        "mismatches": int(wrong.sum()),
        "decided_by_rounding": int(decided_by_rounding.sum()),
        **{f"max_{unit}": each.max().item() for unit, each in errors.items()},
        **{f"p99_{unit}": each.quantile(0.99).item() for unit, each in errors.items()},
        "worst": {name: numbers[counted][worst].item() for name, numbers in at.items()},
    }


def verdict(row: dict[str, Any], goal: Target | None) -> str:
    """PASS or MISS; NEAR_ZERO where the target is missed, but only by what the input's own rounding moves the truth."""
    if row["mismatches"]:
        return "MISS"
    if goal is None or row[f"max_{goal.unit}"] <= goal.limit:
        return "PASS"
    saturating = row["divergence"] in CLOSED and row["side"] == "low"
    return NEAR_ZERO if saturating and row["max_conditioned"] <= goal.limit else "MISS"


def run(divergence: str) -> list[dict[str, Any]]:
    """All rows of one divergence: dtype x mode x side."""
    torch.set_num_threads(1)
    rows = []
    for name, dtype in DTYPES.items():
        low, high = (Side.of(side, divergence, log_probs(dtype), radii(divergence)) for side in ("low", "high"))
        goal = target(divergence, name)
        for mode, compute in MODES.items():
            interval = compute(divergence, low.logp.to(dtype), low.delta.to(dtype))
            for side, found in ((low, interval.low), (high, interval.high)):
                row = {"divergence": divergence, "dtype": name, "mode": mode, "side": side.name}
                row |= measure(found, side)
                rows.append({**row, "target": goal and f"{goal.limit:g} {goal.unit}", "verdict": verdict(row, goal)})
    return rows


def dense(divergence: str) -> dict[str, Any]:
    """fp32 against fp64 at 100 000 random log-probs per radius; fp64 is exact to 1e-8 of an fp32 ulp."""
    generator = torch.Generator().manual_seed(0)
    logit = torch.empty(100_000, dtype=torch.float64).uniform_(-49, 27, generator=generator)
    logp = -torch.nn.functional.softplus(-logit).float()
    row: dict[str, Any] = {"divergence": divergence, "points": len(logp) * len(DELTAS)}
    pairs = [(bounds(divergence, logp, delta), bounds(divergence, logp.double(), delta)) for delta in DELTAS]
    for side in ("low", "high"):
        found, truth = (torch.cat([getattr(pair[k], side) for pair in pairs]).double() for k in (0, 1))
        errors = ((found - truth).abs() / ulp(truth, torch.float32))[truth > SMALLEST_LOG[torch.float32]]
        row |= {
            f"max_{side}": errors.max().item(),
            f"p999_{side}": errors.sort().values[int(0.999 * len(errors))].item(),
        }
    goal = target(divergence, "fp32")
    assert goal is not None
    return {
        **row,
        "target": f"{goal.limit:g} ulp",
        "verdict": "PASS" if max(row["max_low"], row["max_high"]) <= goal.limit else "MISS",
    }


def half_precision_is_upcast() -> bool:
    """bf16 and fp16 log-probs give the fp32 bounds of the same numbers."""
    logp = torch.tensor(log_probs(torch.bfloat16), dtype=torch.bfloat16)
    halves = [(dtype, logp.clamp_max(-1e-6).to(dtype)) for dtype in (torch.bfloat16, torch.float16)]
    return all(
        bounds(name, half, 0.05).low.dtype == torch.float32
        and all(
            torch.equal(*pair) for pair in zip(bounds(name, half, 0.05), bounds(name, half.float(), 0.05), strict=True)
        )
        for name in (*KL, *CLOSED, *SEARCHED)
        for _, half in halves
    )


def environment() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "command": "python benchmarks/accuracy.py",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "mpmath": oracle.mpmath.__version__,
        "bandpo": bandpo.__version__,
    }


def _cells(low: dict[str, Any], high: dict[str, Any], unit: str) -> list[str]:
    form = "{:.2g}".format if unit == "relative" else "{:.2f}".format
    cells = [form(row[f"{kind}_{unit}"]) for row in (low, high) for kind in ("max", "p99")]
    cells[2:2] = ["" if unit == "relative" else form(low["max_conditioned"])]
    return cells


def _point(row: dict[str, Any]) -> str:
    return f"log p = {row['worst']['logp']:.6g}, δ = {row['worst']['delta']:.2g}"


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *lines))


def bounds_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown; one line per divergence, dtype and mode."""
    titles = [
        "divergence",
        "dtype",
        "mode",
        "unit",
        "low max",
        "low p99",
        "low max, conditioned",
        "high max",
        "high p99",
    ]
    titles += ["worst low at", "worst high at", "mismatches low, high", "target", "verdict"]
    lines = []
    for low, high in zip(rows[::2], rows[1::2], strict=True):
        unit = "relative" if low["divergence"] in SEARCHED else "ulp"
        verdicts = {low["verdict"], high["verdict"]}
        joint = next(v for v in ("MISS", NEAR_ZERO, "PASS") if v in verdicts)
        line = [low["divergence"], low["dtype"], low["mode"], unit, *_cells(low, high, unit), _point(low), _point(high)]
        counts = [f"{row['mismatches']} ({row['decided_by_rounding']})" for row in (low, high)]
        lines.append([*line, ", ".join(counts), low["target"] or "none", joint])
    return table(titles, lines)


def dense_table(rows: Sequence[dict[str, Any]]) -> str:
    columns = ("max_low", "p999_low", "max_high", "p999_high")
    lines = [
        [
            row["divergence"],
            f"{row['points']:,}",
            *(f"{row[name]:.2f}" for name in columns),
            row["target"],
            row["verdict"],
        ]
        for row in rows
    ]
    return table(["divergence", "points", "low max", "low p99.9", "high max", "high p99.9", "target", "verdict"], lines)


def report(data: dict[str, Any]) -> str:
    """The generated page."""
    machine = data["environment"]
    facts = ", ".join(f"{name} {value}" for name, value in machine.items() if name != "command")
    definitions = (__doc__ or "").split("Errors are of log r:")[1].strip()
    return (
        f"# Accuracy of the bounds\n\nGenerated by `{machine['command']}`: {facts}.\n\n"
        f"Up to {data['rows'][0]['points']} points per cell, log p from -100 to -1e-12, δ from 1e-6 to 5 where below "
        f"the supremum. Errors are of log r against 50-digit roots of g_f(p, r) = δ:\n\n{definitions}\n\n"
        f"{bounds_table(data['rows'])}\n\n"
        f"fp32 against fp64 at random log-probs, eager, in ulp:\n\n{dense_table(data['dense'])}\n\n"
        f"bf16 and fp16 input gives exactly the fp32 bounds of the same numbers: {data['half_precision_upcast']}.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Accuracy of every bound against 50-digit truth.")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    options = parser.parse_args()
    start, names = time.time(), (*KL, *CLOSED, *SEARCHED)
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": cache, "TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
            rows = [row for rows in pool.map(run, names) for row in rows]
    data = {
        "environment": environment(),
        "half_precision_upcast": "PASS" if half_precision_is_upcast() else "MISS",
        "dense": [dense(divergence) for divergence in KL],
        "rows": rows,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "accuracy.json").write_text(as_json(data))
    (options.results / "accuracy.md").write_text(report(data))
    return summary(data, time.time() - start)


def as_json(data: dict[str, Any]) -> str:
    """JSON with one row per line."""
    lines = {name: [json.dumps(row, ensure_ascii=False) for row in data[name]] for name in ("dense", "rows")}
    head = json.dumps({name: data[name] for name in data if name not in lines}, indent=1, ensure_ascii=False)
    tables = [f' "{name}": [\n  ' + ",\n  ".join(rows) + "\n ]" for name, rows in lines.items()]
    return ",\n".join([head.removesuffix("\n}"), *tables]) + "\n}\n"


def summary(data: dict[str, Any], seconds: float) -> int:
    """Print what was found; the exit code."""
    verdicts = [*data["rows"], *data["dense"], {"verdict": data["half_precision_upcast"]}]
    missed = [row for row in verdicts if row["verdict"] == "MISS"]
    print(bounds_table(data["rows"]), dense_table(data["dense"]), sep="\n\n")
    for row in missed:
        print(f"MISS: {row}")
    near_zero = sum(row["verdict"] == NEAR_ZERO for row in verdicts)
    passed = len(verdicts) - len(missed) - near_zero
    print(f"{passed} of {len(verdicts)} rows PASS, {near_zero} {NEAR_ZERO}, {len(missed)} MISS; {seconds:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
