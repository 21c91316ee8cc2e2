"""Evaluation of the policy in training, with its model in memory: mean@k, unbiased pass@k and token entropy.

`bandpo.evals` evaluates any saved model on any task and shares the parts of this.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from bandpo.evals.generation.drawing import answer
from bandpo.evals.generation.prompts import encode, end_tokens
from bandpo.evals.grading import RewardFunction, grade
from bandpo.evals.scores import problem_pass_at_k
from bandpo.store.reward_calls import reward_name

logger = logging.getLogger("bandpo.runs")


@dataclass(frozen=True)
class Evaluation:
    """Samples of every problem and their rewards.

    Attributes:
        rewards: (problems, samples), the reward function's value; NaN where it gave None or NaN, since it does not
            apply to that answer.
        texts: the completions, in the same order.
        entropy: mean entropy in nats of the sampled tokens' distributions.
    """

    rewards: Tensor
    texts: list[list[str]]
    entropy: float

    def summary(self) -> dict[str, Any]:
        """Return mean@n, pass@k for k = 8, 32, 128 and n where k <= n, and entropy, with the number of problems.

        An answer is correct from reward 1 on. Answers without a reward are left out, as TRL leaves them out of its
        mean, and problems with fewer than k others out of pass@k; a score of no problem is NaN. `errors` has the
        standard errors over problems of all but the entropy, where there are at least two.
        """
        problems = len(self.rewards)
        scored = {name: values[~values.isnan()] for name, values in self._by_problem().items()}
        scores = {name: values.mean().item() for name, values in scored.items()}
        errors = {}
        if problems > 1:
            errors = {"errors": {name: _standard_error(values) for name, values in scored.items()}}
        return {**scores, "entropy": self.entropy, "problems": problems, **errors}

    def _by_problem(self) -> dict[str, Tensor]:
        """Return each score of every problem alone, NaN where too few of its answers have a reward."""
        samples = self.rewards.shape[1]
        correct, scored = (self.rewards >= 1).sum(-1).tolist(), (~self.rewards.isnan()).sum(-1).tolist()
        ks = sorted({k for k in (8, 32, 128) if k <= samples} | {samples})
        means = self.rewards.double().nanmean(-1)
        counts = list(zip(correct, scored, strict=True))
        chances = {
            f"pass@{k}": means.new_tensor([problem_pass_at_k(c, n, k) if n >= k else math.nan for c, n in counts])
            for k in ks
        }
        return {f"mean@{samples}": means, **chances}


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
    places: Sequence[str] = (),
    **more: Any,
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
        places: where each prompt is from, for errors, such as "row 3 of mine.jsonl".
        more: handed to the reward function as it is.

    Returns:
        Evaluation.

    Raises:
        ValueError: no prompt, or the reward function did not give one finite number or None per completion.
        RewardError: the reward function raised an error.
    """
    prompts = [prompt for prompt in columns["prompt"] for _ in range(samples)]
    if not prompts:
        raise ValueError("evaluation on no problems: expected at least one prompt")
    repeated = {name: [v for v in values for _ in range(samples)] for name, values in columns.items()}
    ends = end_tokens(tokenizer, model.generation_config)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    texts: list[str] = []
    answers: list[list[int]] = []
    entropy_sum = 0.0
    with _undisturbed(model, seed):
        for start in range(0, len(prompts), batch_size):
            batch = prompts[start : start + batch_size]
            rows = encode(tokenizer, batch, chat_template_kwargs)
            drawn = answer(
                model, tokenizer, rows, ends, max_tokens=max_new_tokens, temperature=temperature, sampling=sampling
            )
            entropy_sum += drawn.entropy[drawn.alive].sum().item()
            texts += drawn.texts
            answers += drawn.ids

        others = {name: values for name, values in repeated.items() if name != "prompt"}
        each = [place for place in places for _ in range(samples)]
        graded = grade(reward, prompts, texts, answers, others, places=each, **more)
    unscored = sum(map(math.isnan, graded))
    if unscored:
        logger.warning(
            "%s: no reward for %d of %d answers, which no score counts", reward_name(reward), unscored, len(graded)
        )
    rewards = torch.tensor(graded).view(-1, samples)
    grouped = [texts[i : i + samples] for i in range(0, len(texts), samples)]
    return Evaluation(rewards, grouped, entropy_sum / sum(map(len, answers)))


def _standard_error(values: Tensor) -> float:
    """Return the standard error of a mean over problems; NaN where fewer than two have a score."""
    return (values.std() / len(values) ** 0.5).item() if len(values) > 1 else math.nan


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
