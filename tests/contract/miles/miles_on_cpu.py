"""What miles asks of a machine with GPUs, answered by the CPU, in the driver and in every process of Ray."""

import importlib
import os
import sys
from pathlib import Path

import cuda_as_cpu
import custom_watch
import torch
import unused

UNUSED = (
    "aiohttp",
    "fastapi",
    "polars",
    "pybase64",
    "pylatexenc",
    "setproctitle",
    "sglang",
    "sglang_router",
    "starlette",
    "uvicorn",
    "wandb",
)


class ServerArgs:
    """The flags of sglang's server that miles reads in every run."""

    @staticmethod
    def add_cli_args(parser):
        parser.add_argument("--dp-size", type=int, default=1)
        parser.add_argument("--enable-dp-attention", action="store_true")
        parser.add_argument("--speculative-algorithm")


def begin():
    """What a process of Ray begins with."""
    prepare()
    cuda_as_cpu.Redirected().__enter__()
    from miles.utils.tracking_utils import tracking

    import bandpo.engines.miles

    custom_watch.install(bandpo.engines.miles, tracking, log_probs)


def log_probs(logits, **options):
    from miles.backends.training_utils.loss import get_log_probs_and_entropy

    return get_log_probs_and_entropy(logits, **options)["log_probs"]


def prepare():
    """Put miles on the path, and in place what it imports and does not use, and what it asks of CUDA."""
    sys.path.insert(0, str(Path(os.environ["BANDPO_SOURCES"], "miles")))
    unused.stand_in_whole(*UNUSED)
    importlib.import_module("sglang.srt.server_args").ServerArgs = ServerArgs
    cuda_as_cpu.pretend()
    torch.cuda.get_rng_state_all = lambda: []
    torch.cuda.mem_get_info = lambda *_: (2**40, 2**40)
    torch.cuda.memory_allocated = torch.cuda.memory_reserved = lambda *_: 0
