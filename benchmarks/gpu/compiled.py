"""torch.compile with the kernel inside: loss and gradient are those of the eager pass, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

import bandpo
from benchmarks.gpu.cases import batch

# A radius of its own, so that its table is first made where a graph is recorded.
RADIUS = 0.0437


def compiled(device: str, small: bool, *, mode: str | None, metrics: bool) -> Iterator[tuple[str, float]]:
    """Yield whether compiled passes differ, on several batches of one size.

    Args:
        device: on the CPU the graph is run by torch's own operators, since the kernel is interpreted.
        small: fewer tokens.
        mode: of torch.compile; "reduce-overhead" records CUDA graphs.
        metrics: with them.
    """
    torch._dynamo.reset()

    def loss(logp: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        own: dict[str, Any] = {"delta": RADIUS, "kernel": "triton", "metrics": metrics, "check": False}
        out = bandpo.policy_loss(logp, *others, method="band-kl", **own)
        return out.loss + sum(total for total, _ in out.metrics.values()) * 0.0 if metrics else out.loss

    how: dict[str, Any] = {"mode": mode} if device == "cuda" else {"backend": "aot_eager"}
    run = torch.compile(loss, fullgraph=True, **how)
    key = "compiled" if mode is None else "compiled_graphs"
    for seed in range(2 if small else 5):
        given = batch(*((3, 130) if small else (33, 1500)), seed=seed).to(device)
        torch.compiler.cudagraph_mark_step_begin()
        found, expected = _both(run, given), _both(loss, given)
        yield key, int(not all(torch.equal(one, other) for one, other in zip(found, expected, strict=True)))


def _both(function: Any, given: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return loss and gradient, out of reach of the next replay."""
    logp = given.logp.detach().clone().requires_grad_()
    value = function(logp, *given[1:])
    (gradient,) = torch.autograd.grad(value, logp)
    return value.detach().clone(), gradient.clone()
