"""torch.cuda answered by the CPU, for engines whose workers name the device "cuda" and ask for nothing else."""

import torch
from torch.overrides import TorchFunctionMode


def pretend():
    """Put the CPU where code asks torch for the current GPU, its memory, a tensor there, a mesh of GPUs or NCCL.

    Call it before the engine is imported. Tensors stay where they are; what a kernel of CUDA would do is not imitated.
    """
    for name in ("set_device", "synchronize", "empty_cache", "manual_seed_all", "reset_peak_memory_stats"):
        setattr(torch.cuda, name, lambda *_, **__: None)  # one each: torch.compile tells functions by identity
    torch.cuda.max_memory_reserved = lambda *_: 0
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.get_device_capability = lambda *_: (0, 0)
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    mesh = torch.distributed.device_mesh.init_device_mesh

    def on_cpu(_, *arguments, **options):
        return mesh("cpu", *arguments, **options)

    torch.distributed.device_mesh.init_device_mesh = torch.distributed.init_device_mesh = on_cpu
    group = torch.distributed.init_process_group

    def over_gloo(backend=None, *arguments, device_id=None, **options):
        return group("gloo", *arguments, **options)

    torch.distributed.init_process_group = over_gloo


class Redirected(TorchFunctionMode):
    """While entered, what goes "to cuda", or is made there, is on the CPU."""

    def __torch_function__(self, function, _, arguments=(), options=None):
        options = {name: on_the_cpu(value) for name, value in (options or {}).items()}
        return function(*map(on_the_cpu, arguments), **options)


def on_the_cpu(value):
    """The device of the CPU for one of CUDA, everything else as it is."""
    if isinstance(value, torch.device):
        return torch.device("cpu") if value.type == "cuda" else value
    return "cpu" if isinstance(value, str) and value.partition(":")[0] == "cuda" else value
