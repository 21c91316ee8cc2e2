"""Prompts as tokens: chat template, left padding, where an answer ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bandpo.data.messages import plain_messages


def is_chat(prompt: Any) -> bool:
    """Return whether a prompt is a list of chat messages rather than text."""
    return not isinstance(prompt, str)


def plain_text(prompt: Any) -> str:
    """Return a prompt for a model without chat: the messages' texts with a blank line between.

    >>> plain_text([{"role": "system", "content": "Think."}, {"role": "user", "content": "1 + 1?"}])
    'Think.\\n\\n1 + 1?'
    """
    if not is_chat(prompt):
        return prompt
    return "\n\n".join(message["content"] for message in plain_messages(prompt) if message.get("content"))


def encode(tokenizer: Any, prompts: Sequence[Any], template: Mapping[str, Any] | None = None) -> list[list[int]]:
    """Return token ids of every prompt; chats go through the tokenizer's template, with the start of the answer.

    Args:
        tokenizer: of transformers.
        prompts: all text or all chat messages.
        template: options of the chat template, such as enable_thinking.
    """
    if not is_chat(prompts[0]):
        return tokenizer(list(prompts))["input_ids"]
    options = dict(template or {})
    options |= {"tokenize": False, "add_generation_prompt": True}
    texts = [tokenizer.apply_chat_template(plain_messages(prompt), **options) for prompt in prompts]
    # The template writes the begin token itself.
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def pad_left(rows: Sequence[Sequence[int]], pad: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask, (rows, longest), padded on the left.

    >>> pad_left([[5], [6, 7]], pad=0, device=torch.device("cpu"))[0].tolist()
    [[0, 5], [6, 7]]
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[pad or 0] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids.to(device), mask.to(device)


def end_tokens(tokenizer: Any, generation_config: Any) -> list[int]:
    """Return the tokens that end an answer: the tokenizer's and the model's, as in TRL's training."""
    own = generation_config.eos_token_id if generation_config is not None else None
    ends = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return list(dict.fromkeys(end for end in ends if end is not None))


def until_end(completion: Tensor, ends: Sequence[int]) -> Tensor:
    """Return True up to and including the first end token of each row.

    >>> until_end(torch.tensor([[4, 0, 0], [4, 5, 6]]), [0]).tolist()
    [[True, True, False], [True, True, True]]
    """
    is_end = torch.isin(completion, torch.tensor(list(ends), dtype=completion.dtype, device=completion.device)).long()
    return is_end.cumsum(-1) - is_end == 0
