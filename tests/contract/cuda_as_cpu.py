"""torch.cuda answered by the CPU, for engines whose workers name the device "cuda" and ask for nothing else."""

import torch


def pretend():
    """Put the CPU where code asks torch for the current GPU, its memory, a tensor there or a mesh of GPUs.

    Call it before the engine is imported. Tensors stay where they are; what a kernel of CUDA would do is not imitated.
    """
    for name in ("set_device", "synchronize", "empty_cache", "manual_seed_all", "reset_peak_memory_stats"):
        setattr(torch.cuda, name, lambda *_, **__: None)  # one each: torch.compile tells functions by identity
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.get_device_capability = lambda *_: (0, 0)
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
    mesh = torch.distributed.device_mesh.init_device_mesh

    def on_cpu(_, *arguments, **options):
        return mesh("cpu", *arguments, **options)

    torch.distributed.device_mesh.init_device_mesh = torch.distributed.init_device_mesh = on_cpu
