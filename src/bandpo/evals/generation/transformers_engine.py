"""Samples by transformers' `generate`, each drawn by random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, TemperatureLogitsWarper, TopPLogitsWarper

from bandpo.data.reading import first_line
from bandpo.evals.generation.drawing import answer
from bandpo.evals.generation.prompts import end_tokens
from bandpo.evals.generation.protocol import EngineOptions, Request, Sample, Sampling, resolved_device
from bandpo.evals.generation.sampling import SeededChoice


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
            raise ValueError(f"model={options.source!r}: not loaded by transformers, {first_line(error)}") from error
        self.model = (model if "device_map" in options.options else model.to(resolved_device())).eval()
        self.ends = end_tokens(tokenizer, model.generation_config)
        # generate() fills what our settings leave open, such as a repetition penalty, from the model's own.
        model.generation_config = GenerationConfig()

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], sampling: Sampling, max_tokens: int) -> list[Sample]:
        """Draw one sample for each request, in their order.

        Raises:
            ValueError: the batch does not fit the GPU's memory.
        """
        prompts = [request.prompt for request in requests]
        try:
            answers = answer(
                self.model,
                self.tokenizer,
                prompts,
                self.ends,
                max_tokens=max_tokens,
                temperature=sampling.temperature or 1.0,
                sampling={"do_sample": False},
                processors=self._processors(requests, sampling, max_tokens),
            )
        except torch.cuda.OutOfMemoryError as error:
            raise ValueError(
                f"batch_size={len(requests)}: does not fit the GPU's memory with prompts of {max(map(len, prompts))} "
                f"and answers of {max_tokens} tokens, expected a smaller one"
            ) from error
        sums = (answers.entropy.double() * answers.alive).sum(-1).tolist()
        return [
            Sample(ids, text, truncated=ids[-1] not in self.ends, entropy_sum=entropy_sum)
            for ids, text, entropy_sum in zip(answers.ids, answers.texts, sums, strict=True)
        ]

    def _processors(self, requests: Sequence[Request], sampling: Sampling, max_tokens: int) -> list[Any]:
        """Return what leaves greedy decoding the token that each request's own numbers draw."""
        if sampling.temperature == 0:
            return []
        nucleus = [TopPLogitsWarper(sampling.top_p)] if sampling.top_p < 1 else []
        seeds = [request.seed for request in requests]
        draw = SeededChoice(seeds, max_tokens, self.model.device)
        return [TemperatureLogitsWarper(float(sampling.temperature)), *nucleus, draw]
