"""Answers by transformers' `generate`: left padding, one batch, exact token entropy; how tokens are drawn is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList

from bandpo.evals.generation.prompts import pad_left, until_end
from bandpo.evals.generation.sampling import EntropyRecorder


@dataclass(frozen=True)
class Answers:
    """One answer to each prompt of a batch.

    Attributes:
        ids: tokens of each, up to and including the one that ended it.
        texts: without special tokens.
        alive: (rows, steps), True where a row still had tokens to draw.
        entropy: (rows, steps), in nats, of the distributions at the sampling temperature over the whole vocabulary.
    """

    ids: list[list[int]]
    texts: list[str]
    alive: Tensor
    entropy: Tensor


def answer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    ends: Sequence[int],
    *,
    max_tokens: int,
    temperature: float,
    sampling: Mapping[str, Any],
    processors: Sequence[Any] = (),
) -> Answers:
    """Draw one answer to each prompt.

    Args:
        model: causal, whose own generation config leaves everything open.
        tokenizer: of the model.
        prompts: token ids of each.
        ends: tokens that end an answer.
        max_tokens: of an answer.
        temperature: that entropies are taken at.
        sampling: further fields of `GenerationConfig`.
        processors: of the scores, after the entropies are taken.
    """
    ids, mask = pad_left(prompts, tokenizer.pad_token_id, model.device)
    recorder = EntropyRecorder(temperature)
    config = GenerationConfig(
        max_new_tokens=max_tokens, pad_token_id=tokenizer.pad_token_id, eos_token_id=[*ends] or None, **sampling
    )
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=config,
        logits_processor=LogitsProcessorList([recorder, *processors]),
    )
    completion = output[:, ids.shape[1] :]
    alive = until_end(completion, ends)
    rows = [row[:length] for row, length in zip(completion.tolist(), alive.sum(-1).tolist(), strict=True)]
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return Answers(rows, texts, alive, recorder.table(completion.shape[1]))
