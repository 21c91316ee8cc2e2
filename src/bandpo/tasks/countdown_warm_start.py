"""Build the warm-started Countdown policy: `python -m bandpo.tasks.countdown_warm_start`, a minute or two on one core.

A small GPT-2 learns by supervised fine-tuning (TRL's SFTTrainer) to answer in the right form, but rarely correctly:
one demonstration in ten reaches the target, the others are well-formed answers to some other target. Operators come
from a biased prior, + 96 %, - 3 %, * 1 %.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.tasks import countdown

OPERATOR_PRIOR = (0.96, 0.03, 0.01)
CORRECT_SHARE = 0.1


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of one token per number 1..99, operator, separator and end: 104 in all."""
    words = [countdown.END, countdown.SEPARATOR, *countdown.OPERATORS]
    words += [str(number) for number in range(1, countdown.LARGEST_TARGET + 1)]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=countdown.END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=countdown.END, pad_token=countdown.END, padding_side="left"
    )


def build_model(vocabulary: int, end: int) -> GPT2LMHeadModel:
    """Build an untrained GPT-2 of about 113,000 parameters."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=countdown.PROMPT_TOKENS + countdown.ANSWER_TOKENS,
        n_embd=64,
        n_layer=2,
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


def _demonstration(rng: random.Random) -> tuple[list[int], list[str], int]:
    """Draw numbers, operators and value; operators are kept until numbers fit, so that their prior is exact."""
    operators = countdown.draw_operators(rng, OPERATOR_PRIOR)
    while (drawn := countdown.draw_numbers(rng, operators)) is None:
        pass
    numbers, value = drawn
    return numbers, operators, value


def demonstrations(count: int, seed: int) -> list[tuple[str, str]]:
    """Draw (prompt, answer) pairs; one in ten answers is right, the others aim at another expression's value."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        numbers, operators, target = _demonstration(rng)
        answer = " ".join(f"{n} {o}" for n, o in zip(numbers, operators, strict=False)) + f" {numbers[-1]}"
        if rng.random() >= CORRECT_SHARE:
            target = _demonstration(rng)[2]
        rng.shuffle(numbers)
        pairs.append((countdown.Problem(tuple(numbers), target).prompt, answer))
    return pairs


def build(out: Path, seed: int = 0, steps: int = 800) -> None:
    """Train the policy and save it with its tokenizer as safetensors in `out`."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer), tokenizer.get_vocab()[countdown.END])
    batch = 256
    pairs = demonstrations(steps * batch, seed)
    mask = [0] * countdown.PROMPT_TOKENS + [1] * countdown.ANSWER_TOKENS
    tokens = tokenizer([f"{prompt} {answer}" for prompt, answer in pairs])["input_ids"]
    data = Dataset.from_dict({"input_ids": tokens, "completion_mask": [mask] * len(tokens)})
    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=batch,
            learning_rate=1.5e-3,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=50,
            weight_decay=0.0,
            seed=seed,
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
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=countdown.policy_path())
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    build(arguments.out, arguments.seed)
