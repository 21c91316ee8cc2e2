"""`band` at 1e8 random points and more, against an independent g_f; exits with 1 if one bound is wrong.

    python benchmarks/band_sweep.py [--points 1e8] [--out FILE] [--workers 2] [--seed 0]

Every divergence, log-probs in bf16, fp32 and fp64, radii as numbers and as tensors, from the smallest a divergence
takes to its largest, log p from -104 to the last number below 0, and 0. Counted are NaN, upper bounds that are not
finite, bounds on the wrong side of 0, upper bounds beyond -log p, and decisions: a token a little inside a bound must
have g_f(p, r) <= δ and one a little outside g_f(p, r) > δ. g_f is written here in numpy and fp64, from log-ratios.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bandpo

Array = Any
CHUNK = 500_000
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp64": torch.float64}
# Ratios below these are 0 in the dtype of the bounds.
LOG_ZERO = {torch.float32: -103.0, torch.float64: -740.0}
# How far beside a bound a decision is asked for, and how much of δ rounding may move g_f, by dtype of the bounds.
BESIDE = {torch.float32: 1e-5, torch.float64: 1e-6}
SLACK = {torch.float32: 1e-5, torch.float64: 1e-5}
# A bound that is searched for costs a hundred times one by formula.
SHARE_OF_SEARCHED = 0.003
LARGEST_DELTA = 19.0
TELL_SECONDS = 20.0
COUNTS = ("points", "decisions", "nan", "not_finite", "disordered", "beyond_simplex", "wrong_decisions")


def _phi(h: Array) -> Array:
    """e^h - 1 - h, by its series where the difference loses its digits."""
    series = h * h * (1 / 2 + h * (1 / 6 + h * (1 / 24 + h * (1 / 120 + h / 720))))
    return np.where(np.abs(h) < 1e-2, series, np.expm1(h) - h)


def _js(h: Array) -> Array:
    middle = np.log1p(np.expm1(h) / 2)
    return np.where(h < -700, math.log(2) / 2, (np.exp(h) * (h - middle) - middle) / 2)


# f at u = e^h, without differences of near-equal numbers where a divergence takes radii near 0.
GENERATORS: dict[str, Callable[[Array], Array]] = {
    "kl": _phi,
    "reverse-kl": lambda h: np.where(h < -700, 1.0, np.exp(h) * _phi(-np.maximum(h, -700))),
    "tv": lambda h: np.abs(np.expm1(h)) / 2,
    "chi2": lambda h: np.expm1(h) ** 2,
    "neyman-chi2": lambda h: -np.expm1(h) * np.expm1(-h),
    "hellinger": lambda h: np.expm1(h / 2) ** 2,
    "le-cam": lambda h: np.expm1(h) * np.tanh(h / 2),
    "js": _js,
    "jeffreys": lambda h: np.expm1(h) * h,
}


def projected(name: str, logp: Array, log_ratio: Array) -> Array:
    """g_f(p, r) = p f(r) + (1 - p) f((1 - r p)/(1 - p)), fp64."""
    p, w = np.exp(logp), -np.expm1(logp)
    moved = np.exp(logp) * np.expm1(np.minimum(log_ratio, 700.0)) / w
    left = np.log(-np.expm1(np.minimum(logp + log_ratio, 0.0))) - np.log(w)
    others = np.where(moved < 0.5, np.log1p(-np.minimum(moved, 0.5)), left)
    f = GENERATORS[name]
    return p * f(log_ratio) + w * f(others)


class Lane(NamedTuple):
    """One chunk: what is asked of `band`, and the seed of its points."""

    divergence: str
    dtype: str
    is_tensor: bool
    points: int
    seed: int


def log_probs(count: int, generator: np.random.Generator) -> Array:
    """Log-probs of every size: even in log-odds, even in log(1 - p), and a few ends."""
    odds = generator.uniform(-104, 40, count)
    near_one = -np.exp(generator.uniform(-85, 0, count))
    logp = np.where(generator.random(count) < 0.7, -np.logaddexp(0, -odds), near_one)
    ends = generator.choice([0.0, -1e-30, -44.0, -50.0, -60.0, -87.0, -100.0, -103.9], count)
    return np.where(generator.random(count) < 0.01, ends, logp)


def radii(divergence: bandpo.Divergence, count: int, generator: np.random.Generator) -> Array:
    """Radii even in log δ, from a little above the smallest to the largest."""
    largest = min(LARGEST_DELTA, 0.99 * divergence.supremum)
    return np.exp(generator.uniform(math.log(divergence.smallest_delta * 1.01), math.log(largest), count))


def run(lane: Lane) -> dict[str, Any]:
    """Counts of one chunk, and the first point that is wrong."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(lane.seed)
    divergence, dtype = bandpo.get_divergence(lane.divergence), DTYPES[lane.dtype]
    logp = torch.from_numpy(log_probs(lane.points, generator)).to(dtype)
    if lane.is_tensor:
        radius = torch.from_numpy(radii(divergence, lane.points, generator))
        delta: float | Tensor = radius.to(torch.float64 if dtype == torch.float64 else torch.float32)
    else:
        delta = float(radii(divergence, 1, generator)[0])
    interval = bandpo.band(logp, delta, divergence)
    with np.errstate(all="ignore"):
        return counted(lane, logp, delta, interval)


def counted(lane: Lane, logp: Tensor, delta: float | Tensor, interval: bandpo.Interval) -> dict[str, Any]:
    x, low, high = (tensor.double().numpy() for tensor in (logp, *interval))
    is_nan, size = np.isnan(low) | np.isnan(high), np.abs(x)
    problems = {
        "nan": is_nan,
        "not_finite": ~np.isfinite(high) & ~is_nan,
        "disordered": (low > 0) | (high < 0),
        "beyond_simplex": high > size,
    }
    wrong, decisions = wrong_decisions(lane.divergence, x, delta, low, high, interval.low.dtype)
    problems["wrong_decisions"] = wrong
    found = {name: int(bad.sum()) for name, bad in problems.items()}
    any_wrong = np.logical_or.reduce(list(problems.values()))
    return {**lane._asdict(), **found, "decisions": decisions, "first": _first(any_wrong, x, delta, low, high)}


def _first(wrong: Array, logp: Array, delta: float | Tensor, low: Array, high: Array) -> dict[str, float] | None:
    if not wrong.any():
        return None
    at = int(wrong.argmax())
    radius = delta[at].item() if isinstance(delta, Tensor) else delta
    return {"logp": float(logp[at]), "delta": radius, "low": float(low[at]), "high": float(high[at])}


def wrong_decisions(
    name: str, logp: Array, delta: float | Tensor, low: Array, high: Array, dtype: torch.dtype
) -> tuple[Array, int]:
    """Where g_f disagrees with a bound a little inside or outside of it; how many were asked for."""
    radius = delta.double().numpy() if isinstance(delta, Tensor) else delta
    beside, slack = BESIDE[dtype], SLACK[dtype]
    open_simplex = logp < 0
    wrong, decisions = np.zeros(logp.shape, bool), 0
    for bound in (low, high):
        # A ratio that underflows is 0 whatever its logarithm, so it is asked for at 0.
        end = np.where(bound < LOG_ZERO[dtype], -np.inf, bound)
        inside = projected(name, logp, np.maximum(end, LOG_ZERO[dtype]) * (1 - beside))
        is_wrong = ~(inside <= radius * (1 + slack)) & open_simplex
        outside = end * (1 + beside)
        asked = open_simplex & np.isfinite(outside) & (logp + outside < 0)
        is_wrong |= asked & ~(projected(name, logp, outside) >= radius * (1 - slack))
        wrong |= is_wrong
        decisions += int(open_simplex.sum() + asked.sum())
    return wrong, decisions


def lanes(points: int, seed: int) -> Iterator[Lane]:
    """Chunks that together hold at least so many points, those of one kind apart from each other."""
    names = list(GENERATORS)
    searched = [name for name in names if bandpo.get_divergence(name).direct_upper is None]
    kinds = [(name, dtype, is_tensor) for name in names for dtype in DTYPES for is_tensor in (True, False)]
    few = max(1, round(points * SHARE_OF_SEARCHED / (len(searched) * len(DTYPES) * 2)))
    rest = points - few * len(searched) * len(DTYPES) * 2
    many = max(1, -(-rest // ((len(names) - len(searched)) * len(DTYPES) * 2)))
    left = {kind: few if kind[0] in searched else many for kind in kinds}
    while any(left.values()):
        for kind, count in left.items():
            if count:
                seed += 1
                yield Lane(*kind, min(count, CHUNK), seed)
                left[kind] = count - min(count, CHUNK)


def sweep(points: int, workers: int, seed: int) -> dict[str, Any]:
    """Run every chunk; totals, and one line for each kind."""
    todo, started, kinds = list(lanes(points, seed)), time.monotonic(), {}
    said = started
    total = dict.fromkeys(COUNTS, 0)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done, future in enumerate(as_completed([pool.submit(run, lane) for lane in todo]), start=1):
            chunk = future.result()
            kind = kinds.setdefault(
                f"{chunk['divergence']} {chunk['dtype']} {chunk['is_tensor']}", dict.fromkeys(COUNTS, 0)
            )
            for name in COUNTS:
                kind[name] += chunk[name]
                total[name] += chunk[name]
            if chunk["first"] is not None and "first" not in kind:
                kind["first"] = chunk["first"]
            if time.monotonic() - said > TELL_SECONDS or done == len(todo):
                said = time.monotonic()
                seconds = f"{said - started:.0f} s"
                print(
                    f"{done} of {len(todo)} chunks, {total['points']:,} points, {seconds}", file=sys.stderr, flush=True
                )
    return {**total, "seconds": round(time.monotonic() - started, 1), "seed": seed, "kinds": kinds}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--points", type=float, default=1e8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not 1 <= options.points < 1e12 or options.workers < 1:
        parser.error(f"--points {options.points:g} --workers {options.workers}: expected positive numbers")
    found = sweep(int(options.points), options.workers, options.seed)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    problems = {name: found[name] for name in COUNTS[2:]}
    print(f"{found['points']:,} points, {found['decisions']:,} decisions, {found['seconds']} s: {problems}")
    for kind, counts in found["kinds"].items():
        if "first" in counts:
            print(f"{kind}: first wrong at {counts['first']}", file=sys.stderr)
    return 1 if any(problems.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
