"""What slime and Megatron ask of a machine with GPUs, answered by the CPU, in the driver and in every process of Ray.

`megatron.core` is the installed package, `megatron.training` a folder of DIR/megatron-lm, which no wheel has.
"""

import contextlib
import os
import sys
from pathlib import Path

import cuda_as_cpu
import custom_watch
import torch
import unused

UNUSED = ("sglang", "sglang_router", "torch_memory_saver", "wandb")


class Stream:
    """A stream of CUDA: the CPU does one thing after another."""

    def __init__(self, *_, **__):
        pass

    def wait_stream(self, other):
        pass


class Redirected(cuda_as_cpu.Redirected):
    """Megatron besides tells parameters on a GPU by the name of their type, and slime pins memory."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = {name: value for name, value in (options or {}).items() if name != "pin_memory"}
        found = super().__torch_function__(function, types, arguments, options)
        is_name = function is torch.Tensor.type and len(arguments) == 1
        return found.replace("torch.", "torch.cuda.") if is_name else found


def begin():
    """What a process of Ray begins with."""
    prepare()
    Redirected().__enter__()
    from slime.observability import logging_utils

    import bandpo.engines.slime

    custom_watch.install(bandpo.engines.slime, logging_utils, log_probs)


def log_probs(logits, **options):
    from slime.backends.megatron_utils.loss import get_log_probs_and_entropy

    return get_log_probs_and_entropy(logits, **options)[1]["log_probs"]


def prepare():
    """Put slime and Megatron on the path, and in place what they import and do not use, and what they ask of CUDA."""
    sources = Path(os.environ["BANDPO_SOURCES"])
    sys.path.insert(0, str(sources / "slime"))
    sys.path.append(str(sources / "megatron-lm"))
    unused.stand_in_whole(*UNUSED)
    cuda_as_cpu.pretend()
    torch.cuda.Stream = torch.cuda.current_stream = torch.cuda.default_stream = Stream
    torch.cuda.stream = lambda _: contextlib.nullcontext()
    torch.cuda.manual_seed, torch.cuda.set_rng_state = torch.manual_seed, torch.set_rng_state
    torch.cuda.get_rng_state = lambda *_, **__: torch.get_rng_state()
    use_the_cpu()


def use_the_cpu():
    """Make the CPU slime's accelerator, as slime lets a vendor do; its memory never runs short."""
    from slime.utils import accelerator
    from slime.utils.accelerator.base import Accelerator

    answers = {
        "is_available": True,
        "device": torch.device("cpu"),
        "device_name": "cpu",
        "set_device": None,
        "current_device": "cpu",
        "device_count": 1,
        "synchronize": None,
        "current_stream": None,
        "empty_cache": None,
        "mem_get_info": (2**40, 2**40),
        "memory_allocated": 0,
        "memory_reserved": 0,
    }
    inside = {"name": "cpu", "device_type": "cpu", "communication_backend_name": "gloo"}
    inside |= {name: lambda *_, answer=answer: answer for name, answer in answers.items()}
    accelerator.set_accelerator(type("CPU", (Accelerator,), inside)())
