"""Registries that tests cannot pollute and a compiler without leftovers."""

import pytest
import torch

from bandpo.core.divergences.divergence import REGISTRY
from bandpo.core.methods.registry import METHODS


@pytest.fixture(autouse=True)
def _own_registries():
    known = [(names, dict(names)) for names in (REGISTRY, METHODS)]
    yield
    for names, before in known:
        names.clear()
        names.update(before)


@pytest.fixture
def compiled():
    """torch.compile(fullgraph=True) without what earlier tests compiled."""
    torch._dynamo.reset()
    yield lambda function: torch.compile(function, fullgraph=True)
    torch._dynamo.reset()
