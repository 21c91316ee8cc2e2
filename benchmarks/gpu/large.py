"""More tokens than a test can hold: every decision and gradient against fp64 on the same device, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bandpo.speed.peers import make_batch
from benchmarks.gpu.cases import Batch, passed, reference, wrong_decisions

PIECE = 5_000_000


def wrong_tokens(given: Batch) -> int:
    """Count tokens decided otherwise than in fp64, or whose gradient is off by more than 4e-6 of itself."""
    found = passed(given, "band-kl", {"aggregation": "token-mean"}, metrics=False).gradient.view(-1)
    spread = given.advantages.unsqueeze(1).expand(given.logp.shape)
    flat = [tensor.reshape(-1) for tensor in (given.logp.detach(), given.logp_old, spread, given.mask)]
    wrong = 0
    for first in range(0, found.numel(), PIECE):
        piece = Batch(*(tensor[first : first + PIECE].unsqueeze(0) for tensor in flat))
        # The sum of the loss, whose gradient is that of the mean times the number of tokens.
        truth = reference(piece, "band-kl", {"aggregation": "token-mean"}, metrics=False)
        here = found[first : first + PIECE].unsqueeze(0)
        wrong += wrong_decisions(here, truth)
        both = (here != 0) & (truth.exact.gradient != 0)
        off = (here.double() - truth.exact.gradient).abs() > 4e-6 * truth.exact.gradient.abs()
        wrong += int((both & off).sum())
    return wrong


def large(device: str, small: bool) -> Iterator[tuple[str, float]]:
    """Yield the wrong tokens of 1e8 in rows of 1,000."""
    yield "large", wrong_tokens(Batch(*make_batch(3000 if small else 100_000_000, device)))


def long_row(device: str, small: bool) -> Iterator[tuple[str, float]]:
    """Yield the wrong tokens of one row, of more blocks than a grid's second dimension may have."""
    made = make_batch(3000 if small else 70_000_000, device)
    row = [tensor.detach().reshape(1, -1) for tensor in (made.logp, made.logp_old, made.mask)]
    yield "long_row", wrong_tokens(Batch(row[0], row[1], torch.ones(1, device=device), row[2]))


def not_numbers(device: str, small: bool) -> Iterator[tuple[str, float]]:
    """Yield whether a NaN log-prob, unchecked, leaves the loss finite."""
    for place in (0, 1):
        for sign in (1.0, -1.0):
            logps = [torch.full((1, 5), -1.0, device=device) for _ in range(2)]
            logps[place][0, 2] = torch.nan
            mask = torch.ones(1, 5, dtype=torch.bool, device=device)
            given = Batch(logps[0], logps[1], torch.tensor([sign], device=device), mask)
            found = passed(given, "band-kl", {}, metrics=small)
            yield "not_numbers", int(not (found.loss.isnan() and found.gradient[0, 2].isnan()))
