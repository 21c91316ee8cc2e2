"""A compiler without leftovers."""

import pytest
import torch

from tests.core.helpers import IS_WHOLE, OF_WHOLE


@pytest.fixture
def compiled():
    """torch.compile(fullgraph=True) without what earlier tests compiled."""
    if not IS_WHOLE:
        pytest.skip(OF_WHOLE)
    torch._dynamo.reset()
    yield lambda function: torch.compile(function, fullgraph=True)
    torch._dynamo.reset()
