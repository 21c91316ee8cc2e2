"""What NeMo-RL asks of its machine and its Python, answered here: for its driver and for every worker of Ray's."""

import os
import sys
import typing
from pathlib import Path

import cuda_as_cpu
import torch
import typing_extensions
import unused

UNUSED = ("mlflow", "soundfile", "swanlab", "wandb")


def stand_in():
    """Put the checkout on the path, the CPU in CUDA's place, and in place of loggers and audio what is never called."""
    sys.path.insert(0, str(Path(os.environ["BANDPO_SOURCES"], "nemo-rl")))
    # Pydantic takes Python's own from 3.12 on; NeMo-RL asks for 3.13.
    typing.TypedDict = typing_extensions.TypedDict
    unused.stand_in_whole(*UNUSED)
    cuda_as_cpu.pretend()
    torch.cuda.get_device_name = lambda *_: "CPU"
    torch.cuda.nvtx.range_push = torch.cuda.nvtx.range_pop = lambda *_: None
