"""A compiler without leftovers."""

import pytest
import torch


@pytest.fixture
def compiled():
    """torch.compile(fullgraph=True) without what earlier tests compiled."""
    torch._dynamo.reset()
    yield lambda function: torch.compile(function, fullgraph=True)
    torch._dynamo.reset()
