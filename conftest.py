"""What every test and doctest runs with: names that need no import, and registries that it cannot pollute."""

import importlib.util

import pytest
import torch

import bandpo
from bandpo.core.divergences.divergence import REGISTRY
from bandpo.core.methods.registry import METHODS

# What cannot be imported without its engine, and the engine's package.
NEEDS = {"src/bandpo/engines/verl/adapter.py": "verl", "src/bandpo/engines/trinity_rft/loss.py": "trinity"}
collect_ignore = [file for file, package in NEEDS.items() if importlib.util.find_spec(package) is None]


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace.update(torch=torch, bandpo=bandpo)


@pytest.fixture(autouse=True)
def _own_registries():
    """Forget after a test, or an example, what it registered."""
    known = [(names, dict(names)) for names in (REGISTRY, METHODS)]
    yield
    for names, before in known:
        names.clear()
        names.update(before)
