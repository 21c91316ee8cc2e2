"""Which of a distributed run's processes this is."""

from __future__ import annotations

import torch


def rank() -> int:
    """Return this process's number, 0 outside a distributed run.

    >>> rank()
    0
    """
    distributed = torch.distributed
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes, 1 outside a distributed run.

    >>> world_size()
    1
    """
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
