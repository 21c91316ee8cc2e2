"""How per-token losses become one number: the denominators the field uses, under verl's names.

| name | formula | used by |
|---|---|---|
| token-mean | Σ ℓ / tokens | DAPO |
| seq-mean-token-mean | mean over sequences of (Σ_t ℓ / its tokens) | GRPO, BandPO |
| seq-mean-token-sum | mean over sequences of Σ_t ℓ | |
| seq-mean-token-sum-norm | (Σ ℓ / max_tokens) / sequences | Dr. GRPO |

Sequences without a single unmasked token are not counted, so padding a batch changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.checks import check_number, suggestion

AGGREGATIONS = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum", "seq-mean-token-sum-norm")


def aggregate(
    per_token: Tensor,
    mask: Tensor,
    aggregation: str = "seq-mean-token-mean",
    *,
    max_tokens: int | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """Reduce per-token losses to a scalar.

    Args:
        per_token: (B, T) losses; masked positions may hold anything.
        mask: (B, T) bool, True for the tokens that count.
        aggregation: one of `AGGREGATIONS`, see the table above.
        max_tokens: Dr. GRPO's constant length, needed by "seq-mean-token-sum-norm" alone.
        denominator: number of tokens ("token-mean") or of sequences (the others) to divide by instead of this
            batch's own: the count over all micro-batches and ranks, divided by the number of ranks whose gradients
            are averaged. The sum over micro-batches then equals the loss of the whole batch.

    Returns:
        Scalar in the dtype of per_token; 0 when nothing is unmasked.

    Raises:
        ValueError: unknown name, max_tokens missing or without effect, a denominator that is not positive.

    >>> losses, mask = torch.tensor([[1.0, 3.0], [4.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    >>> bandpo.aggregate(losses, mask, "token-mean"), bandpo.aggregate(losses, mask, "seq-mean-token-mean")
    (tensor(2.6667), tensor(3.))
    """
    losses = torch.where(mask, per_token, 0.0).sum(-1)
    return aggregate_rows(losses, mask.sum(-1), aggregation, max_tokens=max_tokens, denominator=denominator)


def aggregate_rows(
    row_losses: Tensor,
    lengths: Tensor,
    aggregation: str,
    *,
    max_tokens: int | None = None,
    denominator: float | Tensor | None = None,
) -> Tensor:
    """Reduce losses as `aggregate`, already summed over each sequence: (B,) sums, and (B,) numbers of tokens."""
    check_aggregation(aggregation, max_tokens, denominator)
    if aggregation == "token-mean":
        total, count = row_losses.sum(), lengths.sum()
    else:
        total, count = row_losses, (lengths > 0).sum()
        if aggregation == "seq-mean-token-mean":
            total = total / lengths.clamp_min(1)
        total = total.sum()
        if max_tokens is not None:
            total = total / max_tokens
    return total / (count.clamp_min(1) if denominator is None else denominator)


def check_aggregation(aggregation: str, max_tokens: int | None, denominator: float | Tensor | None) -> None:
    """Raise ValueError unless the name is one of `AGGREGATIONS` and the numbers are what it takes, see `aggregate`."""
    if aggregation not in AGGREGATIONS:
        per_token = "; losses that are not averaged are policy_loss's per_token"
        hint = per_token if str(aggregation).lower() == "none" else suggestion(aggregation, AGGREGATIONS)
        raise ValueError(f"aggregation={aggregation!r}: expected one of {', '.join(AGGREGATIONS)}{hint}")
    is_normed = aggregation == "seq-mean-token-sum-norm"
    if is_normed != (max_tokens is not None):
        expected = "a positive max_tokens" if is_normed else "no max_tokens, which only seq-mean-token-sum-norm uses"
        raise ValueError(f"max_tokens={max_tokens!r} with aggregation={aggregation!r}: expected {expected}")
    if denominator is not None and not isinstance(denominator, Tensor):
        check_number("denominator", denominator, 0.0, float("inf"), low_open=True)
    if max_tokens is not None:
        check_number("max_tokens", max_tokens, 1, float("inf"))
