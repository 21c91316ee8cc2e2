"""What Trinity-RFT's trainer and verl ask of a GPU, answered by the CPU.

verl imports this module in every process (VERL_USE_EXTERNAL_MODULES=trinity_rft_cpu), before it makes anything.
"""

import sys

import cuda_as_cpu
import torch

# Verl and transformers ask whether it is there, and would find the tests of that name.
sys.modules["trl"] = None
cuda_as_cpu.pretend()
for name in ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved"):
    setattr(torch.cpu, name, lambda *_: 0)
for name in ("empty_cache", "set_device", "reset_peak_memory_stats", "manual_seed", "manual_seed_all"):
    setattr(torch.cpu, name, lambda *_: None)
torch.cpu.mem_get_info = lambda *_: (0, 1)
torch.Tensor.pin_memory = lambda tensor, *_: tensor


def without_flash_attn():
    """Have verl take padding out by its functions of torch alone, which are those of its NPUs."""
    from verl.utils import attention_utils, npu_flash_attn_utils

    names = ("index_first_axis", "pad_input", "rearrange", "unpad_input")
    attention_utils._get_attention_functions = lambda: [getattr(npu_flash_attn_utils, name) for name in names]


def with_an_engine():
    """Make verl's FSDP engine an engine of CPUs."""
    from verl.workers.engine import EngineRegistry
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    EngineRegistry.register("language_model", ["fsdp", "fsdp2"], device="cpu")(FSDPEngineWithLMHead)


without_flash_attn()
with_an_engine()
