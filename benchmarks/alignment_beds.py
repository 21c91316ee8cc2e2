"""Two small policies to plant faults on: the embedded Countdown GPT-2 (C), and a Qwen2 trained here on Python (Q).

Each is trained on by 48 policy-gradient updates; some of the weights on the way are kept as what an old policy held.
Everything made is kept in the user's cache folder.
"""

from __future__ import annotations

import os
import random
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from bandpo.tasks import countdown

UPDATES, KEPT = 48, (0, 32, 44, 47, 48)
STEPS, ROWS, CONTEXT, VOCABULARY = 600, 24, 128, 2048
VERSION = 1


def cache() -> Path:
    """The folder in which models are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bandpo" / "alignment"


@dataclass
class Prompts:
    """Prompts of one batch of groups, padded on the left: (G, P) ids and mask."""

    ids: Tensor
    mask: Tensor


@dataclass
class Bed:
    """A policy with its earlier weights and its prompts.

    Attributes:
        weights: updates done -> state dict; the last is the current policy.
        draw: (how many, generator, held out) -> prompts.
        groups, rows, tokens: of one batch: prompts, answers to each, tokens of an answer at most.
        reward: (R, T) ids -> (R,) what the policy-gradient updates raise.
    """

    name: str
    model: Any
    weights: dict[int, dict[str, Tensor]]
    draw: Callable[[int, random.Random, bool], Prompts]
    groups: int
    rows: int
    tokens: int
    shortest: int
    reward: Callable[[Prompts, Tensor], Tensor]

    def use(self, updates: int) -> Any:
        """Return the model with the weights after so many updates."""
        self.model.load_state_dict(self.weights[updates])
        return self.model.eval()


def positions(mask: Tensor) -> Tensor:
    """Positions that start after the pads."""
    return (mask.long().cumsum(1) - 1).clamp_min(0)


def score(model: Any, prompts: Prompts, ids: Tensor, mask: Tensor | None = None, chunk: int = 128) -> Iterator[Tensor]:
    """Yield the logits of the answers' tokens, (chunk, T, V); `mask` stands in for the prompts' mask."""
    prompt_mask = prompts.mask if mask is None else mask
    whole = torch.cat([prompts.ids, ids], 1)
    attention = torch.cat([prompt_mask, torch.ones_like(ids, dtype=torch.bool)], 1)
    start = prompts.ids.shape[1] - 1
    for at in range(0, len(ids), chunk):
        part = slice(at, at + chunk)
        with torch.no_grad():
            logits = model(
                input_ids=whole[part], attention_mask=attention[part].long(), position_ids=positions(attention[part])
            ).logits
        yield logits[:, start:-1].float()


def sample(
    model: Any, prompts: Prompts, tokens: int, generator: torch.Generator, warp: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Draw one answer a prompt, (R, T) ids; `warp` turns logits and the tokens so far into the sampler's logits."""
    ids = prompts.ids
    attention = prompts.mask
    cache, step = None, ids
    with torch.no_grad():
        for _ in range(tokens):
            out = model(
                input_ids=step,
                attention_mask=attention.long(),
                position_ids=positions(attention)[:, -step.shape[1] :],
                past_key_values=cache,
                use_cache=True,
            )
            cache = out.past_key_values
            logits = warp(out.logits[:, -1].float(), torch.where(attention, ids, -1))
            step = torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)
            ids = torch.cat([ids, step], 1)
            attention = torch.cat([attention, torch.ones_like(step, dtype=torch.bool)], 1)
    return ids[:, prompts.ids.shape[1] :]


def repeat(prompts: Prompts, times: int) -> Prompts:
    """Every prompt so many times, one after the other."""
    return Prompts(prompts.ids.repeat_interleave(times, 0), prompts.mask.repeat_interleave(times, 0))


def train_on(bed: Bed, rate: float, seed: int) -> None:
    """Do the policy-gradient updates on training prompts, keeping some of the weights."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(bed.model.parameters(), lr=rate)
    bed.weights[0] = {name: each.clone() for name, each in bed.model.state_dict().items()}
    for update in range(1, UPDATES + 1):
        prompts = repeat(bed.draw(bed.groups, rng, False), bed.rows)
        ids = sample(bed.model.eval(), prompts, bed.tokens, generator, lambda logits, _: logits)
        reward = bed.reward(prompts, ids).view(-1, bed.rows)
        advantage = ((reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)).view(-1, 1)
        whole = torch.cat([prompts.ids, ids], 1)
        attention = torch.cat([prompts.mask, torch.ones_like(ids, dtype=torch.bool)], 1)
        logits = bed.model(input_ids=whole, attention_mask=attention.long(), position_ids=positions(attention)).logits[
            :, prompts.ids.shape[1] - 1 : -1
        ]
        logp = torch.log_softmax(logits, -1).gather(-1, ids[..., None])[..., 0]
        optimizer.zero_grad()
        (-(advantage * logp).mean()).backward()
        optimizer.step()
        if update in KEPT:
            bed.weights[update] = {name: each.clone() for name, each in bed.model.state_dict().items()}


def countdown_bed() -> Bed:
    """The embedded task: 73 prompts, 8 answers of 7 tokens, half of them nearly certain."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(countdown.policy_path())
    model = AutoModelForCausalLM.from_pretrained(countdown.policy_path())

    def draw(count: int, rng: random.Random, held_out: bool) -> Prompts:
        problems = countdown.training_problems(count, rng.randrange(1 << 30) * 2 + held_out)
        ids = torch.tensor(tokenizer([problem.prompt for problem in problems])["input_ids"])
        return Prompts(ids, torch.ones_like(ids, dtype=torch.bool))

    def reward(prompts: Prompts, ids: Tensor) -> Tensor:
        texts, asked = tokenizer.batch_decode(ids), tokenizer.batch_decode(prompts.ids)
        return torch.tensor(countdown.reward(texts, asked))

    bed = Bed("C", model, {}, draw, 73, 8, countdown.ANSWER_TOKENS, countdown.ANSWER_TOKENS, reward)
    return _kept(bed, "countdown", lambda: train_on(bed, 6e-5, seed=0))


def _source() -> tuple[str, str]:
    """Python source of the standard library: to train on, and held out."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in files]
    return "\n".join(texts[0::2] + texts[1::4])[:4_000_000], "\n".join(texts[3::4])


def _tokenized_source() -> tuple[Tokenizer, dict[bool, Tensor]]:
    """A byte-level tokenizer trained on that source, and the ids of what is trained on and (True) of what is not."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    path, ids_path = folder / f"tokenizer-{VERSION}.json", folder / f"ids-{VERSION}.pt"
    if not ids_path.exists():
        source, held_out = _source()
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<pad>"], initial_alphabet=alphabet)  # pyright: ignore[reportCallIssue]
        made.train_from_iterator([source[:1_500_000]], trainer)
        made.save(str(path))
        encoded = {kind: torch.tensor(made.encode(text).ids) for kind, text in ((False, source), (True, held_out))}
        torch.save(encoded, ids_path)
    return Tokenizer.from_file(str(path)), torch.load(ids_path, weights_only=True)


def python_bed() -> Bed:
    """A Qwen2 of 0.9 M weights trained on Python source: 8 prompts of 8 to 32 tokens, 8 answers of up to 64 tokens."""
    tokenizer, texts = _tokenized_source()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config)

    def draw(count: int, rng: random.Random, held_out: bool) -> Prompts:
        text = texts[held_out]
        ids, mask = torch.zeros(count, 32, dtype=torch.int64), torch.zeros(count, 32, dtype=torch.bool)
        for number in range(count):
            length, at = rng.randint(8, 32), rng.randrange(len(text) - 32)
            ids[number, 32 - length :], mask[number, 32 - length :] = text[at : at + length], True
        return Prompts(ids, mask)

    newline = torch.tensor(["\u010a" in (tokenizer.id_to_token(i) or "") for i in range(VOCABULARY)])
    bed = Bed("Q", model, {}, draw, 8, 8, 64, 40, lambda _, ids: newline[ids].float().mean(1))

    def make() -> None:
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, STEPS)
        generator = torch.Generator().manual_seed(0)
        for _ in range(STEPS):
            starts = torch.randint(0, len(texts[False]) - CONTEXT, (ROWS, 1), generator=generator)
            ids = texts[False][starts + torch.arange(CONTEXT)]
            loss = model(input_ids=ids, labels=ids).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        train_on(bed, 3e-5, seed=0)

    return _kept(bed, "python", make)


def _kept(bed: Bed, name: str, make: Callable[[], None]) -> Bed:
    path = cache() / f"{name}-{VERSION}.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make()
        partial = path.with_suffix(f".{os.getpid()}")
        torch.save(bed.weights, partial)
        partial.replace(path)
    bed.weights = torch.load(path, weights_only=True)
    return bed


BEDS = {"C": countdown_bed, "Q": python_bed}
