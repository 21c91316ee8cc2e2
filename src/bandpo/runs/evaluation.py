"""Sampled evaluation of a causal model: mean@k, unbiased pass@k and token entropy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        rewards: (problems, samples), the reward function's value.
        texts: the completions, in the same order.
        entropy: mean entropy in nats of the sampled tokens' distributions.
    """

    rewards: Tensor
    texts: list[list[str]]
    entropy: float

    def summary(self) -> dict[str, float]:
        """mean@n, pass@k for k = 1, 8, ... up to n, and entropy; a sample is correct if its reward is 1 or more."""
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
) -> Evaluation:
    """Sample every prompt of `columns["prompt"]` and grade the answers.

    Args:
        model, tokenizer: any causal model; the tokenizer pads on the left.
        columns: `prompt` (text, or a list of chat messages) and whatever the reward function reads.
        reward: TRL's signature, (completions=..., prompts=..., **columns) -> one number per completion.
        samples: completions per prompt.
        max_new_tokens, temperature: of generation; the full vocabulary is sampled from.
        batch_size: completions generated at once.
        seed: of the sampling; the global random state is left as it was.

    Returns:
        Evaluation.
    """
    prompts = [prompt for prompt in columns["prompt"] for _ in range(samples)]
    repeated = {name: [v for v in values for _ in range(samples)] for name, values in columns.items()}
    texts: list[str] = []
    entropy_sum = entropy_count = 0.0
    was_training = model.training
    model.eval()
    cuda = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        for start in range(0, len(prompts), batch_size):
            ids, attention = _encode(tokenizer, prompts[start : start + batch_size], model.device)
            recorder = _EntropyRecorder(temperature)
            output = model.generate(
                input_ids=ids,
                attention_mask=attention,
                generation_config=_sampling(tokenizer, max_new_tokens, temperature),
                logits_processor=LogitsProcessorList([recorder]),
            )
            completion = output[:, ids.shape[1] :]
            alive = _until_end(completion, tokenizer.eos_token_id)
            entropy = torch.stack(recorder.steps, -1)
            entropy_sum += entropy[alive].sum().item()
            entropy_count += alive.sum().item()
            texts += tokenizer.batch_decode(completion, skip_special_tokens=True)
    model.train(was_training)

    completions = texts if isinstance(prompts[0], str) else [[{"role": "assistant", "content": t}] for t in texts]
    graded = reward(completions=completions, prompts=prompts, **{n: v for n, v in repeated.items() if n != "prompt"})
    rewards = torch.tensor([float(value or 0.0) for value in graded]).view(-1, samples)
    grouped = [texts[i : i + samples] for i in range(0, len(texts), samples)]
    return Evaluation(rewards, grouped, entropy_sum / max(entropy_count, 1))


def _encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Any], device: torch.device) -> tuple[Tensor, Tensor]:
    if not isinstance(prompts[0], str):
        prompts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    encoded = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left")
    return encoded["input_ids"].to(device), encoded["attention_mask"].to(device)


def _sampling(tokenizer: PreTrainedTokenizerBase, max_new_tokens: int, temperature: float) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _until_end(completion: Tensor, end: int | None) -> Tensor:
    """True up to and including the first end token of each row."""
    if end is None:
        return torch.ones_like(completion, dtype=torch.bool)
    ended_before = (completion == end).long().cumsum(-1) - (completion == end).long()
    return ended_before == 0
