"""A registry that tests cannot pollute and a compiler without leftovers."""

import pytest
import torch

from bandpo.core.divergences import divergence as divergences


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(divergences, "_REGISTRY", dict(divergences._REGISTRY))


@pytest.fixture
def compiled():
    """torch.compile(fullgraph=True) without what earlier tests compiled."""
    torch._dynamo.reset()
    yield lambda function: torch.compile(function, fullgraph=True)
    torch._dynamo.reset()
