"""The parts, in the order in which they run: what each does, how long it may take, what it needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part, `benchmarks.gpu.NAME`, which has a function `measure(setting, record)`.

    Attributes:
        about: what it does, for the screen.
        seconds: after so long it is killed; what it has written stays.
        needs: modules without which it is not started.
    """

    about: str
    seconds: float
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Return the modules it needs that are not there."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


_TRAINING = ("trl", "datasets", "accelerate", "transformers")
PARTS: Mapping[str, Part] = {
    "correctness": Part("kernels against fp64, streams, graphs, compiled code", 75, ("triton",)),
    "speed": Part("launches, host time, time on the device", 60, ("triton",)),
    "commands": Part("bandpo train, bandpo eval", 45, _TRAINING),
    "training": Part("the rehearsal beside stock TRL", 125, (*_TRAINING, "math_verify", "flint", "datasketch")),
    "heads": Part("peak memory of TRL's heads through our trainer", 30, _TRAINING),
    "study": Part("runs a minute of the vectorised study", 25, _TRAINING),
}
