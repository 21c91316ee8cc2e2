"""A small random Qwen2 with a tokenizer of words and a chat template, saved as a user's model would be."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

CORPUS = [f"What is {a} + {b} ? {a} + {b} = {a + b} Answer: {a + b}" for a in range(20) for b in range(20)]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{{ suffix if suffix is defined }}{% endif %}"
)


def build_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*CORPUS, "user assistant"] * 2, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    fast.chat_template = TEMPLATE
    return fast


def build_model(tokenizer, seed):
    """Distributions far from uniform, in which the end comes after a few tokens."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.4,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight += 0.4 * torch.randn(config.hidden_size)
        states = model.model(torch.randint(3, len(tokenizer), (8, 16))).last_hidden_state.mean((0, 1))
        model.lm_head.weight[tokenizer.eos_token_id] = 4.0 * states / states.square().sum()
    # A model's own settings, as published ones have, which an evaluation must not follow.
    model.generation_config.update(
        eos_token_id=[tokenizer.eos_token_id], do_sample=True, top_k=2, top_p=0.3, repetition_penalty=3.0
    )
    return model


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory):
    """Two models of different weights with the same tokenizer."""
    tokenizer, folders = build_tokenizer(), []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"qwen{seed}")
        build_model(tokenizer, seed).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        folders.append(folder)
    return folders


@pytest.fixture(scope="session")
def model_folder(model_folders):
    return model_folders[0]


@pytest.fixture(scope="session")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder, padding_side="left")


@pytest.fixture(scope="session")
def model(model_folder):
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()
