"""Modules that an engine imports as it starts and does not use in what a test runs of it."""

import importlib.machinery
import sys
import types


class Unused(types.ModuleType):
    """A module in which every name is there, and of no use."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return object


def stand_in(*names):
    """Modules of these names and of the packages above them, for the rest of the process."""
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            above = ".".join(parts[:end])
            if above not in sys.modules:
                module = sys.modules[above] = Unused(above)
                module.__spec__ = importlib.machinery.ModuleSpec(above, None)
