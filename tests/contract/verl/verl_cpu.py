"""A platform plugin of verl's for CPUs: what its FSDP engine asks of an accelerator, answered by torch or nothing."""

import contextlib
import types

import torch


def register():
    """Make "cpu" a platform of verl's, the one that VERL_PLATFORM=cpu chooses.

    verl's process groups name gloo twice, for the CPU and for the device, so a group must exist before verl makes one.
    """
    from verl.plugin.platform.platform_base import PlatformBase
    from verl.plugin.platform.platform_manager import PlatformRegistry

    nothing = lambda *_, **__: None  # noqa: E731
    device = types.ModuleType("cpu_as_accelerator")
    for name in ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved"):
        setattr(device, name, lambda *_, **__: 0)
    for name in ("empty_cache", "synchronize", "set_device", "reset_peak_memory_stats"):
        setattr(device, name, nothing)
    device.manual_seed = device.manual_seed_all = torch.manual_seed
    device.current_device = device.get_device_name = lambda *_: "cpu"
    device.device_count, device.is_available = lambda: 1, lambda: True
    device.get_rng_state = lambda *_: torch.get_rng_state()
    device.set_rng_state = lambda state, *_: torch.set_rng_state(state)
    device.mem_get_info = lambda *_: (0, 1)
    device.stream, device.current_stream, device.Stream = torch.cpu.stream, torch.cpu.current_stream, torch.cpu.Stream

    @PlatformRegistry.register("cpu")
    class Cpu(PlatformBase):
        device_name = property(lambda self: "cpu")
        vendor_name = property(lambda self: "cpu")
        device_module = property(lambda self: device)

        def is_available(self):
            return True

        def current_device(self):
            return torch.device("cpu")

        def device_count(self):
            return 1

        def get_device_capability(self, device_id=0):
            return None, None

        def communication_backend_name(self):
            return "gloo"

        def visible_devices_envvar(self):
            return "CUDA_VISIBLE_DEVICES"

        @contextlib.contextmanager
        def nvtx_range(self, message):
            yield

        def ray_resource_name(self):
            return "CPU"

        def ray_noset_envvars(self):
            return []

        def ray_resource_options(self, number):
            return {"num_cpus": number}

        def is_ipc_supported(self):
            return False

        def manual_seed(self, seed):
            torch.manual_seed(seed)

        manual_seed_all = manual_seed
        set_device = synchronize = set_allocator_settings = empty_cache = nothing
        profiler_start = profiler_stop = cudart = nothing


def register_engine():
    """Make verl's FSDP engine an engine of that platform; only once the platform is chosen can it be imported."""
    from verl.workers.engine import EngineRegistry
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    EngineRegistry.register("language_model", ["fsdp", "fsdp2"], device="cpu")(FSDPEngineWithLMHead)
