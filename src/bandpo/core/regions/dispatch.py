"""The one place where core looks up to its kernels: which there are, and whether one runs instead of torch code.

Kernels stand on core and are the same mathematics again, so everything here is right without them. Triton is imported
when a kernel first runs, never with this module.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor
from torch.torch_version import TorchVersion

from bandpo.core.checks import is_transformed
from bandpo.kernels.band import band_bounds
from bandpo.kernels.blocks import NO_OTHERS, Others
from bandpo.kernels.clip_loss import as_metrics, clip_loss

__all__ = [
    "KERNELS",
    "NO_OTHERS",
    "Others",
    "as_metrics",
    "band_bounds",
    "can_meet",
    "clip_loss",
    "has_triton",
    "runs_kernels",
    "serves",
]

KERNELS = ("auto", "torch", "triton")
# Triton takes tuples as arguments and as constants from 3.4 on, the release of torch 2.8. Looked up once, here: what a
# compiler may trace must not search for modules.
_HAS_TRITON = importlib.util.find_spec("triton") is not None and TorchVersion(torch.__version__) >= "2.8"


def has_triton() -> bool:
    """Return whether there is a Triton that the kernels can be built with."""
    return _HAS_TRITON


def runs_kernels(tensor: Tensor) -> bool:
    """Return whether this tensor lies where a kernel can run: on a CUDA device, with Triton at hand."""
    return tensor.is_cuda and has_triton()


def serves(kernel: str, tensor: Tensor) -> bool:
    """Return whether to ask for a kernel at all: "triton", or "auto" where one can run; never in fp64.

    Under vmap and the other transforms of `torch.func`, "auto" leaves the work to torch.

    Raises:
        ValueError: an unknown name, "triton" without it.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel={kernel!r}: expected one of {', '.join(map(repr, KERNELS))}")
    if kernel == "triton" and not has_triton():
        raise ValueError(f"kernel='triton' with torch {torch.__version__}: expected Triton, and torch 2.8 or newer")
    is_wanted = kernel == "triton" or (kernel == "auto" and runs_kernels(tensor) and not is_transformed(tensor))
    return is_wanted and tensor.dtype != torch.float64


def can_meet(tensor: Tensor | None, logp: Tensor) -> bool:
    """Return whether a kernel on the device of logp can read this tensor beside it, broadcast to its shape."""
    if tensor is None:
        return True
    return tensor.device == logp.device and tensor.dim() <= logp.dim() and not is_transformed(tensor)
