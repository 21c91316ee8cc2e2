"""Where a kernel runs and where its constants lie: the device of its tensors, and memory that is no one else's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def current(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context in which this device is the current one, since Triton launches there whatever it is given.

    >>> with current(torch.device("cpu")): pass
    """
    if device.type != "cuda" or device.index == torch.cuda.current_device():
        return contextlib.nullcontext()
    return torch.cuda.device(device)


def kept(device: torch.device, make: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
    """Return tensors that are to outlive the call, whole before any stream reads them.

    Whoever records a CUDA graph first runs it in a memory pool of its own, which takes what this thread allocates, and
    torch.compile refuses a pool that holds more than the outputs. So they are made in another thread.

    Args:
        device: where they lie.
        make: makes them.

    >>> kept(torch.device("cpu"), lambda: [torch.zeros(1)])
    [tensor([0.])]
    """
    if device.type != "cuda":
        return make()
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(_made, device, make).result()


def _made(device: torch.device, make: Callable[[], Sequence[Tensor]]) -> Sequence[Tensor]:
    with torch.cuda.device(device):
        tensors = make()
        torch.cuda.current_stream().synchronize()
    return tensors
