"""Build a warm-started Countdown policy: `python -m bandpo.tasks.countdown_warm_start`, a minute or two on one core.

A small GPT-2 learns by supervised fine-tuning (TRL's SFTTrainer) to answer in the right form, but rarely correctly: a
share of the demonstrations reaches the target, the others are well-formed answers to some other target. Operators come
from a biased prior. Three such starts ship with the package, since one decides what a comparison shows.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.tasks import countdown

BATCH = 256


@dataclass(frozen=True)
class Recipe:
    """How a warm start was trained.

    Attributes:
        seed: of demonstrations and initialisation.
        correct_share: of the demonstrations, those that reach their target.
        operator_prior: weights of +, - and * in the demonstrations.
        steps: of 256 demonstrations each.
        learning_rate, schedule: of AdamW, after 50 steps of warmup.
    """

    seed: int
    correct_share: float
    operator_prior: tuple[float, float, float]
    steps: int
    learning_rate: float = 1.5e-3
    schedule: str = "constant_with_warmup"


RECIPES = {
    "countdown": Recipe(0, 0.1, (0.96, 0.03, 0.01), 800),
    "countdown-2": Recipe(2, 0.3, (0.90, 0.07, 0.03), 1200),
    "countdown-3": Recipe(8, 0.5, (0.96, 0.03, 0.01), 1200, 2e-3, "cosine"),
}


WORDS = (
    countdown.END,
    countdown.SEPARATOR,
    *countdown.OPERATORS,
    *(str(number) for number in range(1, countdown.LARGEST_TARGET + 1)),
)
"""The vocabulary: end, separator, operators, and the numbers 1..99."""


def build_tokenizer(words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """Build a tokenizer of one token per word, the first of which ends an answer."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=words[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=words[0], pad_token=words[0], padding_side="left"
    )


def build_model(vocabulary: int, end: int, positions: int, width: int = 64, layers: int = 2) -> GPT2LMHeadModel:
    """Build an untrained GPT-2; with Countdown's vocabulary it has about 113,000 parameters."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=width,
        n_layer=layers,
        n_head=4,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return GPT2LMHeadModel(config)


def _demonstration(rng: random.Random, prior: tuple[float, float, float]) -> tuple[list[int], list[str], int]:
    """Draw numbers, operators and value; operators are kept until numbers fit, so that their prior is exact."""
    operators = countdown.draw_operators(rng, prior)
    while (drawn := countdown.draw_numbers(rng, operators)) is None:
        pass
    numbers, value = drawn
    return numbers, operators, value


def demonstrations(count: int, recipe: Recipe) -> list[tuple[str, str]]:
    """Draw (prompt, answer) pairs; a share of the answers is right, the others aim at another expression's value."""
    rng = random.Random(recipe.seed)
    pairs = []
    for _ in range(count):
        numbers, operators, target = _demonstration(rng, recipe.operator_prior)
        answer = " ".join(f"{n} {o}" for n, o in zip(numbers, operators, strict=False)) + f" {numbers[-1]}"
        if rng.random() >= recipe.correct_share:
            target = _demonstration(rng, recipe.operator_prior)[2]
        rng.shuffle(numbers)
        pairs.append((countdown.Problem(tuple(numbers), target).prompt, answer))
    return pairs


def build(out: Path, recipe: Recipe) -> None:
    """Train the policy and save it with its tokenizer as safetensors in `out`."""
    torch.manual_seed(recipe.seed)
    tokenizer = build_tokenizer()
    length = countdown.PROMPT_TOKENS + countdown.ANSWER_TOKENS
    model = build_model(len(tokenizer), tokenizer.get_vocab()[countdown.END], length)
    fine_tune(model, tokenizer, demonstrations(recipe.steps * BATCH, recipe), recipe)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def fine_tune(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]], recipe: Recipe
) -> None:
    """Train a model to answer as (prompt, answer) pairs do, 256 a step, each pair once."""
    tokens = [tokenizer(list(part))["input_ids"] for part in zip(*pairs, strict=True)]
    rows = list(zip(*tokens, strict=True))
    data = Dataset.from_dict(
        {
            "input_ids": [prompt + answer for prompt, answer in rows],
            "completion_mask": [[0] * len(prompt) + [1] * len(answer) for prompt, answer in rows],
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            max_steps=recipe.steps,
            per_device_train_batch_size=BATCH,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type=recipe.schedule,
            warmup_steps=50,
            weight_decay=0.0,
            seed=recipe.seed,
            max_length=None,
            completion_only_loss=True,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_steps=100,
            report_to="none",
        )
        SFTTrainer(model, args=config, train_dataset=data, processing_class=tokenizer).train()
    model.config.use_cache = True


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--start", choices=RECIPES, default="countdown")
    parser.add_argument("--out", type=Path, help="folder, that of the package if left out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    build(arguments.out or countdown.policy_path(arguments.start), RECIPES[arguments.start])
