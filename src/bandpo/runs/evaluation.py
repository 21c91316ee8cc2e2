"""Sampled evaluation of a causal model: mean@k, unbiased pass@k and token entropy."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

RewardFunction = Callable[..., "list[float] | list[float | None]"]


def pass_at_k(correct: Sequence[int], samples: int, k: int) -> float:
    """Unbiased pass@k: the chance that k of n samples, drawn without replacement, hold a correct one, on average.

        pass@k = mean over problems of 1 - C(n - c, k)/C(n, k)      (Chen et al., arXiv 2107.03374, eq. 1)

    Args:
        correct: number of correct samples of each problem.
        samples: n, samples per problem.
        k: at most n.

    Raises:
        ValueError: k is not in 1..n, or there is no problem.

    >>> pass_at_k([1, 0], samples=4, k=2)
    0.25
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k={k}: expected 1 <= k <= {samples}, the samples per problem")
    if not correct:
        raise ValueError("pass@k of no problems: expected at least one")
    total = math.comb(samples, k)
    return sum(1 - math.comb(samples - c, k) / total for c in correct) / len(correct)


@dataclass(frozen=True)
class Evaluation:
    """Samples of every problem and their rewards.

    Attributes:
        rewards: (problems, samples), the reward function's value; 0 where it gave None or NaN.
        texts: the completions, in the same order.
        entropy: mean entropy in nats of the sampled tokens' distributions.
    """

    rewards: Tensor
    texts: list[list[str]]
    entropy: float

    def summary(self) -> dict[str, float]:
        """mean@n, pass@k for k = 8, 32, 128 and n where k <= n, entropy; a sample is correct from reward 1 on."""
        problems, samples = self.rewards.shape
        correct = (self.rewards >= 1).sum(-1).tolist()
        ks = sorted({k for k in (8, 32, 128) if k <= samples} | {samples})
        scores = {f"mean@{samples}": self.rewards.mean().item()}
        scores |= {f"pass@{k}": pass_at_k(correct, samples, k) for k in ks}
        return {**scores, "entropy": self.entropy, "problems": problems}


class _EntropyRecorder(LogitsProcessor):
    """Notes the entropy of each step's distribution at the sampling temperature; changes nothing."""

    def __init__(self, temperature: float):
        self.temperature = temperature
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        log_probs = torch.log_softmax(scores.float() / self.temperature, -1)
        self.steps.append(-(log_probs.exp() * log_probs.clamp_min(-1e4)).sum(-1))
        return scores


@torch.no_grad()
def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    columns: Mapping[str, Sequence[Any]],
    reward: RewardFunction,
    *,
    samples: int = 32,
    max_new_tokens: int = 256,
    temperature: float = 1.0,
    batch_size: int = 2048,
    seed: int = 0,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Sample every prompt of `columns["prompt"]` and grade the answers.

    Args:
        model, tokenizer: any causal model; prompts are padded on the left.
        columns: `prompt` (text, or a list of chat messages) and whatever the reward function reads.
        reward: TRL's signature, (completions=..., prompts=..., completion_ids=..., **columns) -> one number, or None
            where it does not apply, per completion.
        samples: completions per prompt.
        max_new_tokens, temperature: of generation; the full vocabulary is sampled from.
        batch_size: completions generated at once.
        seed: of the sampling; the model and the global random states are left as they were.
        chat_template_kwargs: passed to the chat template.

    Returns:
        Evaluation.

    Raises:
        ValueError: no prompt, or the reward function did not give one value per completion.
    """
    prompts = [prompt for prompt in columns["prompt"] for _ in range(samples)]
    if not prompts:
        raise ValueError("evaluation on no problems: expected at least one prompt")
    repeated = {name: [v for v in values for _ in range(samples)] for name, values in columns.items()}
    ends = _ends(model, tokenizer)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=ends or None,
    )
    generate: Any = model.generate
    texts: list[str] = []
    answers: list[list[int]] = []
    entropy_sum = 0.0
    with _undisturbed(model, seed):
        for start in range(0, len(prompts), batch_size):
            batch = prompts[start : start + batch_size]
            ids, attention = _encode(tokenizer, batch, model.device, chat_template_kwargs or {})
            recorder = _EntropyRecorder(temperature)
            output = generate(
                input_ids=ids,
                attention_mask=attention,
                generation_config=config,
                logits_processor=LogitsProcessorList([recorder]),
            )
            completion = output[:, ids.shape[1] :]
            alive = _until_end(completion, ends)
            entropy_sum += torch.stack(recorder.steps, -1)[alive].sum().item()
            texts += tokenizer.batch_decode(completion, skip_special_tokens=True)
            answers += [row[:length] for row, length in zip(completion.tolist(), alive.sum(-1).tolist(), strict=True)]

        is_chat = not isinstance(prompts[0], str)
        completions = [[{"role": "assistant", "content": text}] for text in texts] if is_chat else texts
        others = {name: values for name, values in repeated.items() if name != "prompt"}
        graded: Any = reward(prompts=prompts, completions=completions, completion_ids=answers, **others)
        if inspect.isawaitable(graded):
            graded = asyncio.run(_wait(graded))
    if len(graded) != len(texts):
        raise ValueError(
            f"the reward function gave {len(graded)} values for {len(texts)} completions: expected as many"
        )
    rewards = torch.tensor([float(value or 0.0) for value in graded]).nan_to_num(nan=0.0).view(-1, samples)
    grouped = [texts[i : i + samples] for i in range(0, len(texts), samples)]
    return Evaluation(rewards, grouped, entropy_sum / sum(map(len, answers)))


async def _wait(value: Any) -> Any:
    return await value


@contextlib.contextmanager
def _undisturbed(model: PreTrainedModel, seed: int) -> Iterator[None]:
    """Seed sampling, generate by our settings alone, and leave model and random states as they were."""
    was_training, own_config = model.training, model.generation_config
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        try:
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            model.eval()
            # generate() fills what our settings leave open, such as a repetition penalty, from the model's own.
            model.generation_config = GenerationConfig()
            yield
        finally:
            model.generation_config = own_config
            model.train(was_training)
            random.setstate(python_state)
            np.random.set_state(numpy_state)


def _encode(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Any], device: torch.device, template: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
    options: dict[str, Any] = {"return_tensors": "pt", "padding": True, "padding_side": "left"}
    if isinstance(prompts[0], str):
        encoded: Any = tokenizer(list(prompts), **options)
    else:
        texts: Any = [
            tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True, **template) for p in prompts
        ]
        encoded = tokenizer(texts, add_special_tokens=False, **options)
    return encoded["input_ids"].to(device), encoded["attention_mask"].to(device)


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end an answer: the tokenizer's and the model's, as in TRL's training."""
    own = model.generation_config.eos_token_id if model.generation_config is not None else None
    ends = [tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])]
    return list(dict.fromkeys(end for end in ends if end is not None))


def _until_end(completion: Tensor, ends: Sequence[int]) -> Tensor:
    """True up to and including the first end token of each row."""
    is_end = torch.isin(completion, torch.tensor(list(ends), dtype=completion.dtype, device=completion.device)).long()
    return is_end.cumsum(-1) - is_end == 0
