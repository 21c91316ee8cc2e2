"""Engines that no registry offers: tests run on a protocol of ours, and on a checkout where there is one.

    BANDPO_SOURCES=/path/to/checkouts python -m pytest tests/contract/slime

runs the same tests on checkouts/slime, its own files executed one by one with what they import and do not use replaced.
"""

import importlib.metadata
import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest


def checkout(name):
    """Folder of the engine's repository; skips without one."""
    folder = Path(os.environ.get("BANDPO_SOURCES", "nowhere")) / name
    if not folder.is_dir():
        pytest.skip(f"no {name} under $BANDPO_SOURCES")
    return folder


def both(version):
    """The two variants of a test, by name, with what they exercise."""
    return [
        pytest.param("protocol", marks=pytest.mark.exercises("signature only", version=version)),
        pytest.param("source", marks=pytest.mark.exercises("real function", version=version)),
    ]


def stub(monkeypatch, name, **attributes):
    """A module of that name, and empty packages above it, until the test ends."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        above = ".".join(parts[:end])
        if above not in sys.modules or not hasattr(sys.modules[above], "__path__"):
            package = types.ModuleType(above)
            package.__path__ = []
            monkeypatch.setitem(sys.modules, above, package)
    module = types.ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def execute(monkeypatch, name, path):
    """The file as a module of that name."""
    stub(monkeypatch, name)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def installed_file(distribution, path):
    """A file of an installed distribution that cannot be imported as a whole; skips without it."""
    try:
        found = importlib.metadata.distribution(distribution).locate_file(path)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed: make test-engines ENGINES={distribution}")
    return Path(str(found))


def anything(monkeypatch, *names):
    """Modules of these names in which every name is there, and of no use."""
    for name in names:
        stub(monkeypatch, name)
        module = _Anything(name)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, name, module)


class _Anything(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return object
