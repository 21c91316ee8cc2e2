"""Modules that an engine imports as it starts and does not use in what a test runs of it."""

import importlib.machinery
import sys
import types


class Name(type):
    """A class of no use: it is inherited from, called with anything, and asked for any attribute."""

    def __new__(cls, name, bases=(), inside=()):
        anything = {"__new__": lambda made, *_, **__: object.__new__(made), "__init__": lambda *_, **__: None}
        return super().__new__(cls, name, bases, {**({} if bases else anything), **dict(inside)})

    def __init__(cls, name, bases=(), inside=()):
        super().__init__(name, bases, dict(inside))

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(name)


class Unused(types.ModuleType):
    """A module in which every name is there, and of no use."""

    __path__ = ()
    __getattr__ = Name.__getattr__


class Whole(Unused):
    """A package of which every module is there, too."""


class Below:
    """Finds every module below a whole package, and makes it another."""

    @staticmethod
    def find_spec(name, *_):
        above = sys.modules.get(name.rpartition(".")[0])
        return importlib.machinery.ModuleSpec(name, Below) if isinstance(above, Whole) else None

    @staticmethod
    def create_module(spec):
        return Whole(spec.name)

    @staticmethod
    def exec_module(module):
        pass


def stand_in(*names, of=Unused):
    """Modules of these names and of the packages above them, for the rest of the process."""
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            above = ".".join(parts[:end])
            if above not in sys.modules:
                module = sys.modules[above] = of(above)
                module.__spec__ = importlib.machinery.ModuleSpec(above, None)


def stand_in_whole(*names):
    """As `stand_in`, with every module below: an engine that looks for one, to do without it, finds it."""
    if Below not in sys.meta_path:
        sys.meta_path.append(Below)
    stand_in(*names, of=Whole)
