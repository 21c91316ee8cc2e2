"""A random model of a few thousand parameters, and scripts that train it with an engine in a process of their own."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

VOCABULARY = 32


def write_model(folder, family="Qwen2", tied=True):
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        pad_token_id=0,
        eos_token_id=1,
    )
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)


def write_tokenizer(folder, template=None):
    """Words w0, w1, ... for the ids of the model, its padding and its end among them."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", chat_template=template)
    tokenizer.save_pretrained(folder)


def answers(model, prompts, length):
    """Prompts and as many sampled tokens behind each, (rows, 1 + length), by a model of transformers'."""
    import torch

    with torch.no_grad():
        return model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            top_k=0,
            max_new_tokens=length,
            min_new_tokens=length,
            eos_token_id=None,
            pad_token_id=0,
        )


def log_probs(model, ids):
    """Of every token of the rows but their first, (rows, length), by a model of transformers'."""
    import torch

    with torch.no_grad():
        return torch.log_softmax(model(ids).logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[..., 0]


def group_advantages(reward, groups):
    """GRPO's advantages of rows whose groups lie one after another, (rows, 1)."""
    of_group = reward.view(groups, -1)
    return ((of_group - of_group.mean(1, keepdim=True)) / (of_group.std(1, keepdim=True) + 1e-4)).view(-1, 1)


def trained(script, folder, method="band-kl", steps=12, model=None, **environment):
    """What `python SCRIPT MODEL METHOD STEPS OUT` wrote, with this folder's modules on its path.

    `model` are options of `write_model`.
    """
    write_model(folder / "model", **(model or {}))
    command = [sys.executable, "-W", "ignore", str(script), str(folder / "model"), method, str(steps)]
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [*command, str(folder / "out")],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out").read_text())


def trained_by_method(script, factory, steps, **options):
    """A function of a method: what `trained` returns of it, which runs once; `factory` is pytest's of folders."""
    return functools.cache(lambda method: trained(script, factory.mktemp(method), method, steps, **options))
