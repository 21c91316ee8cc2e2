"""What Trinity-RFT 0.6.0, written for verl 0.8, lacks in verl 0.9 on a CPU; verl imports this module in every process.

The platform, the FSDP engine and one process group of gloo are those of `verl_rollout`, in the folder beside.
"""

import functools

import cuda_as_cpu
import verl_rollout  # noqa: F401
from verl.trainer.config.config import CheckpointConfig
from verl.workers.config.actor import FSDPActorConfig


def forget(config, name):
    """Let a configuration of verl's take a key that it had in verl 0.8, and drop it."""
    stock = config.__init__

    @functools.wraps(stock)
    def __init__(self, *arguments, **options):
        options.pop(name, None)
        stock(self, *arguments, **options)

    config.__init__ = __init__


cuda_as_cpu.pretend()
forget(CheckpointConfig, "mbridge_config")
forget(FSDPActorConfig, "router_replay")
