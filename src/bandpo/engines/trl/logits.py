"""The logits behind TRL's log-probs, for the methods that need more than the sampled token's.

TRL computes log-probs through a fused head and never holds the logits, older releases drop them. The policy's last
hidden states are caught on their way to the head, and the head is applied to the completion's positions once more:
one more matrix product a step, and (B, T, V) numbers in memory, for these methods alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor


def unwrapped(accelerator: Any, model: Any) -> Any:
    """Return the causal language model inside data-parallel wrappers and adapters."""
    model = accelerator.unwrap_model(model)
    return model.get_base_model() if hasattr(model, "peft_config") else model


@contextlib.contextmanager
def tapped_logits(
    model: Any, completion_length: int, temperature: float, use: Callable[[Tensor], Any]
) -> Iterator[None]:
    """While the block runs, `use` receives the logits (b, T, V) of every forward pass of the unwrapped model.

    Args:
        model: a transformers causal language model.
        completion_length: T; the logits are those that predict the last T tokens.
        temperature: what they are divided by.
        use: called once a pass; gradients flow through what it gets.
    """

    def catch(_module: Any, _arguments: Any, output: Any) -> None:
        hidden = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
        head = model.get_output_embeddings()
        hidden = hidden[:, -completion_length - 1 : -1].to(head.weight.dtype)
        use(head(hidden).float() / temperature)

    handle = model.base_model.register_forward_hook(catch)
    try:
        yield
    finally:
        handle.remove()


def check_logits(logits: Tensor, ids: Tensor, logps: Tensor, mask: Tensor) -> None:
    """Raise RuntimeError unless the logits give TRL's own log-probs: a model may scale or cap them behind its head."""
    computed = torch.log_softmax(logits.detach(), -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    error = torch.where(mask, (computed - logps.detach().float()).abs(), 0.0).max().item()
    # bf16 log-probs of likely tokens are off by a hundredth; another scale of the logits is off by far more.
    if not error <= 0.1:
        raise RuntimeError(
            f"the logits of this model do not give TRL's log-probs, by up to {error:.3g}: methods that need logits "
            "work with models whose logits are their head's output"
        )
