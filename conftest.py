"""What every test and doctest runs with: names that need no import, and registries that it cannot pollute."""

import importlib.util

import pytest
import torch

import bandpo
from bandpo.core.divergences.divergence import REGISTRY
from bandpo.core.methods.registry import METHODS

# What cannot be imported without its engine: the engine's package, and our modules.
NEEDS_ENGINE = {
    "verl": ["verl/adapter"],
    "axolotl": ["axolotl/adapter", "axolotl/trainer"],
    "trinity": ["trinity_rft/loss"],
}
collect_ignore = [
    f"src/bandpo/engines/{module}.py"
    for package, modules in NEEDS_ENGINE.items()
    if importlib.util.find_spec(package) is None
    for module in modules
]


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
