"""A result that overflowed: found before it reaches an optimizer, and told by the token that made it.

fp32 ends at 3.4e38. Log-ratios are held at ±20, so it takes an advantage above 7e29 to get there with a clip, 3e20
with the quadratic penalty of CFPO, or a log-prob of -1e38; none of them is of any use, so nothing is scaled or cut.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bandpo.core.objective.metrics import Metrics


def check_overflow(
    loss: Tensor,
    parts: Mapping[str, Tensor],
    metrics: Metrics,
    inputs: Mapping[str, Tensor],
    mask: Tensor,
) -> None:
    """Raise ValueError unless the loss, every part of it inside the mask and every metric is finite.

    Args:
        loss: scalar.
        parts: (B, T) tensors by name, such as the loss and the gradient of every token.
        metrics: (sum, count) by name.
        inputs: (B, T) tensors by name, whose values at the token at fault the message tells.
        mask: (B, T) bool.
    """
    overflowed = {name: ~torch.isfinite(part) & mask for name, part in parts.items()}
    sums = torch.stack([loss.detach(), *((total + count).to(loss.dtype) for total, count in metrics.values())])
    is_wrong = ~torch.isfinite(sums).all()
    for wrong in overflowed.values():
        is_wrong = is_wrong | wrong.any()
    if not is_wrong:
        return
    culprits = [name for name, wrong in overflowed.items() if wrong.any()]
    culprits += [name for name, wrong in zip(("loss", *metrics), ~torch.isfinite(sums), strict=True) if wrong]
    row, column = _token_at_fault(overflowed, inputs, mask)
    values = ", ".join(f"{name} = {tensor[row, column].item():g}" for name, tensor in inputs.items())
    raise ValueError(f"token [{row}, {column}] with {values}: {', '.join(culprits)} overflows {loss.dtype}")


def _token_at_fault(overflowed: Mapping[str, Tensor], inputs: Mapping[str, Tensor], mask: Tensor) -> tuple[int, int]:
    """Return the first token with a part that is not finite, or that of the largest input where only a sum is not."""
    for wrong in overflowed.values():
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            return row, column
    sizes = torch.stack([torch.where(mask, tensor.abs().double(), -1.0) for tensor in inputs.values()]).amax(0)
    return divmod(int(sizes.argmax()), mask.shape[1])
