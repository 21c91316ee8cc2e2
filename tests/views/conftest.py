"""A batch as a trainer would record it."""

import pytest
import torch

from bandpo.microscope.batch import TokenBatch


@pytest.fixture
def recorded():
    """(seed, dtype) -> a batch of 24 responses whose tokens have moved, a third of them masked."""

    def make(seed=0, dtype=torch.float32):
        g = torch.Generator().manual_seed(seed)
        logp_old = torch.log_softmax(3 * torch.randn(24, 40, 12, generator=g, dtype=dtype), -1)[..., 0]
        logp = torch.minimum(logp_old + 0.15 * torch.randn(24, 40, generator=g, dtype=dtype), 0.1 * logp_old)
        mask = torch.rand(24, 40, generator=g) > 0.3
        advantages = torch.randn(24, 1, generator=g, dtype=dtype).expand(24, 40)
        return TokenBatch(mask=mask, logp=logp.where(mask, torch.nan), logp_old=logp_old, advantages=advantages)

    return make
