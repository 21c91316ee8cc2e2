"""A language model, a tokenizer, data, a reward and hand-made loss inputs: no download, milliseconds to run."""

import copy
import warnings

import torch
import trl
from datasets import Dataset
from packaging.version import Version
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer

TRL_VERSION = Version(trl.__version__)
LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")
SUPPORTED_LOSSES = LOSS_TYPES if Version("1.10") <= TRL_VERSION else LOSS_TYPES[:-1]
VOCABULARY = ["<pad>", "<eos>", *"0123456789+="]
PAD, EOS = 0, 1
TEMPERATURE = 0.9
COMPLETION_LENGTH = 8

__all__ = ["BandGRPOConfig", "BandGRPOTrainer", "GRPOConfig", "GRPOTrainer"]


def tokenizer():
    tokens = Tokenizer(models.WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token="<pad>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokens.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", eos_token="<eos>", padding_side="left", model_max_length=64
    )


def model(spread=0.02, seed=0):
    """Random weights; a large `spread` makes some tokens near-certain and others very rare."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=None,
        initializer_range=spread,
        tie_word_embeddings=False,
    )
    return Qwen2ForCausalLM(config)


def prompts():
    return Dataset.from_dict({"prompt": [f"{a}+{b}=" for a in range(8) for b in range(4)]})


def even_digits(completions, **_):
    return [float(sum(character in "02468" for character in completion)) for completion in completions]


def options(folder, **changes):
    """Constructor arguments of a configuration for a tiny CPU run."""
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": COMPLETION_LENGTH,
        "temperature": TEMPERATURE,
        "learning_rate": 1e-2,
        "seed": 3,
    } | changes


def trainer(config, language_model=None, **named):
    """The trainer that belongs to the configuration's class, on tiny data."""
    kind = BandGRPOTrainer if isinstance(config, BandGRPOConfig) else GRPOTrainer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(
            model() if language_model is None else language_model,
            even_digits,
            config,
            train_dataset=prompts(),
            processing_class=tokenizer(),
            **named,
        )


def loss_and_gradients(engine, inputs):
    """What a trainer's own loss of these inputs is, and its gradient of every parameter."""
    engine.current_gradient_accumulation_steps = 1
    engine.model.train()
    loss = engine.compute_loss(engine.model, inputs)
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in engine.model.parameters()]


def weights(language_model):
    return {name: value.detach().clone() for name, value in language_model.named_parameters()}


def forward(language_model, inputs):
    """Log-probs and entropies of the completion tokens by the definition, in the model's dtype."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    logits = language_model(input_ids=ids, attention_mask=mask).logits
    length = inputs["completion_ids"].shape[1]
    logp = torch.log_softmax(logits[:, -length - 1 : -1] / TEMPERATURE, dim=-1)
    chosen = logp.gather(-1, inputs["completion_ids"].unsqueeze(-1)).squeeze(-1)
    return chosen, -(logp.exp() * logp).sum(-1)


def loss_inputs(language_model, rows=32, seed=2, masked_old=7.0):
    """What TRL hands to its loss: rare, common and near-certain tokens, moved both ways, of every advantage sign.

    Masked positions of the old log-probs hold `masked_old`, by default no log-prob at all.
    """
    generator = torch.Generator().manual_seed(seed)
    length = COMPLETION_LENGTH
    prompt_mask = torch.ones(rows, 4, dtype=torch.long)
    prompt_mask[::3, :2] = 0
    completion_mask = torch.ones(rows, length, dtype=torch.long)
    for row in range(rows):
        completion_mask[row, 1 + (5 * row) % length :] = 0
    completion_mask[0] = 1
    inputs = {
        "prompt_ids": torch.randint(2, len(VOCABULARY), (rows, 4), generator=generator) * prompt_mask,
        "prompt_mask": prompt_mask,
        "completion_ids": torch.randint(2, len(VOCABULARY), (rows, length), generator=generator) * completion_mask,
        "completion_mask": completion_mask,
        "advantages": torch.randn(rows, generator=generator),
    }
    inputs["advantages"][1] = 0.0
    exact = copy.deepcopy(language_model).double()
    with torch.no_grad():
        for column in range(length):  # a third of the tokens are the model's favourites
            likely = torch.cat([inputs["prompt_ids"], inputs["completion_ids"][:, :column]], dim=1)
            seen = torch.cat([prompt_mask, completion_mask[:, :column]], dim=1)
            favourite = exact(input_ids=likely, attention_mask=seen).logits[:, -1].argmax(-1)
            swap = (torch.rand(rows, generator=generator) < 1 / 3) & completion_mask[:, column].bool()
            inputs["completion_ids"][swap, column] = favourite[swap]
        new = forward(exact, inputs)[0]
    # A rare token has moved by a factor of up to about four either way, a near-certain one by less.
    noise = torch.randn(rows, length, generator=generator, dtype=torch.float64)
    old = (new + 0.5 * noise * (1 - new.exp()).sqrt()).clamp_max(-1e-3)
    old = torch.where(completion_mask.bool(), old, masked_old)
    inputs["old_per_token_logps"] = old.float()
    inputs["num_items_in_batch"] = torch.tensor(203)
    return inputs
