"""Every method on fake CUDA tensors, eager and traced by torch.compile; `test_fake_cuda` runs it in its own process.

    python -m tests.kernels.fake_cuda LIBRARY fast|all

LIBRARY is a device guard for CUDA that does nothing; with it a CPU build of torch takes fake CUDA tensors through every
operator. Prints one line for each failure and, last, how many settings were tried.
"""

from __future__ import annotations

import dis
import itertools
import sys
import warnings
from collections.abc import Iterator
from types import CodeType
from typing import Any

import torch
from torch._guards import TracingContext
from torch._subclasses.fake_tensor import FakeTensorMode

import bandpo
from bandpo.core.divergences import kl_table
from tests.core import batches

DTYPES = (torch.float32, torch.bfloat16, torch.float64)
LOOKS_AT_THE_MACHINE = {"find_spec", "import_module", "environ", "getenv", "lru_cache", "cache_info"}
TRACED_IN_A_HURRY = ("grpo", "band-kl", "band-hellinger", "band-mirror", "band-js", "cispo", "gspo", "entropy", "tre")
# A bonus on every kind of base, with hyperparameters of the base's own.
BASES = [
    (bonus, {"base": base, "base_kwargs": {**batches.TIGHT[base]}})
    for bonus in ("entropy", "tre")
    for base in ("grpo", "band-kl", "band-js", "band-upper", "maspo", "cfpo", "gspo", "cispo")
]


class Traced(Exception):
    """Raised by the backend: the graph is there, and nothing is to run."""


def wrong_code(codes: list[CodeType]) -> str | None:
    """What a function that dynamo traced through must not do: import, look at the environment, search for modules."""
    for code in codes:
        if "importlib" in code.co_filename:
            return f"traces into {code.co_filename}"
        if "/bandpo/" not in code.co_filename:
            continue
        if any(instruction.opname == "IMPORT_NAME" for instruction in dis.get_instructions(code)):
            return f"{code.co_qualname if hasattr(code, 'co_qualname') else code.co_name} imports while it is traced"
        if seen := LOOKS_AT_THE_MACHINE & set(code.co_names):
            return f"{code.co_name} uses {', '.join(seen)} while it is traced"
    return None


def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
    if problem := wrong_code(list(TracingContext.get().traced_code)):
        raise AssertionError(problem)
    raise Traced


def traced(call: Any) -> None:
    """Trace the call in one graph; dynamo's warnings to users, such as of a cache it traces through, are errors."""
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning, module="torch._dynamo")
        warnings.filterwarnings("error", message=".*lru_cache.*")
        try:
            torch.compile(call, fullgraph=True, backend=backend)()
        except torch._dynamo.exc.BackendCompilerFailed as error:
            if not isinstance(error.inner_exception, Traced):
                raise
        else:
            raise AssertionError("nothing was traced")


def settings(everything: bool) -> Iterator[tuple[str, dict[str, Any], torch.dtype, bool, bool]]:
    """(method, options, dtype, metrics, whether to trace)."""
    for place, (name, options) in enumerate([*batches.SETTINGS, *BASES]):
        if everything:
            for dtype, metrics, is_traced in itertools.product(DTYPES, (True, False), (False, True)):
                yield name, options, dtype, metrics, is_traced
        else:
            # The authors' and the tight setting of a method come one after the other.
            yield name, options, DTYPES[place // 2 % 3], place % 2 == 0, False
    if not everything:
        for place, name in enumerate(TRACED_IN_A_HURRY):
            yield name, batches.TIGHT[name] if place % 2 else {}, DTYPES[place % 2], place % 3 > 0, True


def on_cuda(mode: FakeTensorMode, dtype: torch.dtype) -> dict[str, Any]:
    """A batch of fake CUDA tensors; what a policy makes carries a gradient."""

    def fake(name: str, x: torch.Tensor) -> torch.Tensor:
        made = torch.empty(x.shape, dtype=dtype if x.is_floating_point() else x.dtype, device="cuda")
        return made.requires_grad_(name in batches.LEAVES)

    with mode:
        return batches.each_tensor(batches.batch(rows=2, tokens=3), fake)


def check_band(mode: FakeTensorMode) -> None:
    with mode:
        logp, radius, toward = (torch.empty(3, device="cuda") for _ in range(3))
        for name, delta in itertools.product(bandpo.divergences(), (0.05, radius)):
            low, high = bandpo.band(logp, delta, name, toward=toward if name == "kl" else None)
            assert low.device.type == high.device.type == "cuda"


def trace_everything_at_once(mode: FakeTensorMode) -> None:
    """A radius for each row, the sampler's weight and the reference KL, in one graph."""
    given = on_cuda(mode, torch.float32)
    with mode:
        others = {"logp_rollout": given["logp_rollout"], "logp_ref": given["logp_rollout"]}
        options = {"delta": torch.empty((2, 1), device="cuda"), "importance_cap": 2.0, "beta": 0.1, **others}
        traced(lambda: batches.loss_of("band-kl", given, **options).loss)


def fake_table(_numerator: int, _denominator: int, device: torch.device) -> torch.Tensor:
    """Stand in for the table of cubics, a constant of compiled code that wants a real device to lie on."""
    return torch.empty(2 * (kl_table.DEGREE + 1), kl_table.CELLS, device=device)


def main(library: str, everything: bool) -> None:
    torch.ops.load_library(library)
    kl_table.kl_table = fake_table
    mode, tried = FakeTensorMode(), 0
    check_band(mode)
    trace_everything_at_once(mode)
    for name, options, dtype, metrics, is_traced in settings(everything):
        given = on_cuda(mode, dtype)

        def call() -> torch.Tensor:
            return batches.loss_of(name, given, metrics=metrics, **options).loss  # noqa: B023

        tried += 1
        try:
            with mode:
                if is_traced:
                    traced(call)
                else:
                    assert call().device.type == "cuda"
        except Exception as error:
            how = "traced" if is_traced else "eager"
            problem = f"{type(error).__name__}: {error}".partition("\n")[0]
            print(f"{name} {options} {dtype} metrics={metrics} {how}: {problem}", flush=True)
    print(f"{tried} settings", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "all")
