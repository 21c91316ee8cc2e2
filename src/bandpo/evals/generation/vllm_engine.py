"""Samples by vLLM's offline `LLM`. Written against vllm 0.33; tested with a stand-in, for it needs a GPU."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

from bandpo.evals.generation.prompts import end_tokens
from bandpo.evals.generation.protocol import EngineOptions, Request, Sample, Sampling


class VllmEngine:
    """vLLM with prefix caching, so that the samples of a problem share its prompt.

    Args:
        tokenizer: of the model.
        options: model, dtype, length; its further options go to `vllm.LLM`.

    Raises:
        ValueError: vLLM cannot load the model.
    """

    def __init__(self, tokenizer: Any, options: EngineOptions):
        self.vllm: Any = importlib.import_module("vllm")
        self.tokenizer = tokenizer
        settings = {
            "model": options.source,
            "revision": options.revision,
            "tokenizer_revision": options.revision,
            "dtype": options.dtype,
            "max_model_len": options.longest,
            "enable_prefix_caching": True,
            # Of the distribution that is drawn from: temperature and top_p included.
            "logprobs_mode": "processed_logprobs",
            # Not the model's own penalties and limits.
            "generation_config": "vllm",
            **options.options,
        }
        self.llm = self.vllm.LLM(**settings)
        self.ends = end_tokens(tokenizer, _generation_config(options))

    def generate(self, requests: Sequence[Request], sampling: Sampling, max_tokens: int) -> list[Sample]:
        """Draw one sample for each request, in their order."""
        prompts = [{"prompt_token_ids": list(request.prompt)} for request in requests]
        params = [self._params(request.seed, sampling, max_tokens) for request in requests]
        outputs = self.llm.generate(prompts, params, use_tqdm=False)
        return [self._sample(output.outputs[0], sampling) for output in outputs]

    def _params(self, seed: int, sampling: Sampling, max_tokens: int) -> Any:
        return self.vllm.SamplingParams(
            n=1,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=0,
            min_p=0.0,
            max_tokens=max_tokens,
            seed=seed,
            stop_token_ids=self.ends,
            logprobs=0,
        )

    def _sample(self, output: Any, sampling: Sampling) -> Sample:
        ids = list(output.token_ids)
        surprisal = None
        if sampling.temperature > 0:
            surprisal = -math.fsum(step[token].logprob for step, token in zip(output.logprobs, ids, strict=True))
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Sample(ids, text, truncated=output.finish_reason == "length", surprisal_sum=surprisal)


def _generation_config(options: EngineOptions) -> Any:
    from transformers import GenerationConfig

    load: Any = GenerationConfig.from_pretrained
    try:
        return load(options.source, revision=options.revision)
    except OSError:
        return None
