"""Samples by transformers' `generate`: left padding, one batch at a time, exact token entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from bandpo.evals.engine import EngineOptions, Request, Sample, Sampling, resolved_device
from bandpo.evals.prompts import end_tokens, pad_left, until_end
from bandpo.evals.sampling import EntropyRecorder, SeededChoice


class TransformersEngine:
    """A causal model, on the GPU where there is one.

    Args:
        tokenizer: of the model.
        options: model, dtype, length; its further options go to `from_pretrained`.

    Raises:
        ValueError: the model cannot be loaded, or has fewer positions than prompt and answer need.
    """

    def __init__(self, tokenizer: Any, options: EngineOptions):
        self.tokenizer = tokenizer
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                options.source, revision=options.revision, dtype=getattr(torch, options.dtype), **options.options
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"model={options.source!r}: not loaded by transformers, {reason}") from error
        self.model = (model if "device_map" in options.options else model.to(resolved_device())).eval()
        self.ends = end_tokens(tokenizer, model.generation_config)
        # generate() fills what our settings leave open, such as a repetition penalty, from the model's own.
        model.generation_config = GenerationConfig()

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling, max_tokens: int) -> list[Sample]:
        """One sample for each request, in their order.

        Raises:
            ValueError: the batch does not fit the GPU's memory.
        """
        device = self.model.device
        ids, mask = pad_left([request.prompt for request in requests], self.tokenizer.pad_token_id, device)
        recorder = EntropyRecorder(sampling.temperature or 1.0)
        processors: list[Any] = [recorder]
        if sampling.temperature > 0:
            processors.append(TemperatureLogitsWarper(float(sampling.temperature)))
            processors += [TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
            processors.append(SeededChoice([request.seed for request in requests], max_tokens, device))
        try:
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=self._config(max_tokens),
                logits_processor=LogitsProcessorList(processors),
            )
        except torch.cuda.OutOfMemoryError as error:
            raise ValueError(
                f"batch_size={len(requests)}: does not fit the GPU's memory with prompts of {ids.shape[1]} and answers "
                f"of {max_tokens} tokens, expected a smaller one"
            ) from error
        completion = output[:, ids.shape[1] :]
        return self._samples(completion, recorder.table(completion.shape[1]))

    def _config(self, max_tokens: int) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.ends or None,
        )

    def _samples(self, completion: torch.Tensor, entropy: torch.Tensor) -> list[Sample]:
        alive = until_end(completion, self.ends)
        sums = (entropy.double() * alive).sum(-1).tolist()
        rows = [row[:length] for row, length in zip(completion.tolist(), alive.sum(-1).tolist(), strict=True)]
        texts = self.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [
            Sample(row, text, truncated=row[-1] not in self.ends, entropy_sum=entropy_sum)
            for row, text, entropy_sum in zip(rows, texts, sums, strict=True)
        ]
