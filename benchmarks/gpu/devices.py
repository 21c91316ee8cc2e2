"""Streams and graphs of a CUDA device; on the CPU, where a dry run goes the same way, there is one stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Work = Callable[[], Sequence[Tensor]]


def synchronize(device: str) -> None:
    """Wait for all that was launched."""
    if device == "cuda":
        torch.cuda.synchronize()


def streams(device: str, count: int) -> list[contextlib.AbstractContextManager[Any]]:
    """Return contexts of new streams that start behind what was launched before."""
    if device != "cuda":
        return [contextlib.nullcontext() for _ in range(count)]
    made = [torch.cuda.Stream() for _ in range(count)]
    for stream in made:
        stream.wait_stream(torch.cuda.current_stream())
    return [_Entered(stream) for stream in made]


class _Entered(contextlib.AbstractContextManager[Any]):
    """A stream as a context that can be entered again and again."""

    def __init__(self, stream: torch.cuda.Stream):
        self.stream = stream

    def __enter__(self) -> None:
        self.context = torch.cuda.stream(self.stream)
        self.context.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.context.__exit__(*error)


def captured(work: Work, device: str) -> tuple[Callable[[], None], list[Tensor]]:
    """Return what replays the work as a CUDA graph, and the tensors that a replay fills.

    The work runs once before it is captured, on another stream, so that all it needs is built and in place.
    """
    if device != "cuda":
        outputs = [tensor.clone() for tensor in work()]

        def replay() -> None:
            for kept, fresh in zip(outputs, work(), strict=True):
                kept.copy_(fresh)

        return replay, outputs
    [aside] = streams(device, 1)
    with aside:
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = list(work())
    return graph.replay, outputs
