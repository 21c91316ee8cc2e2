"""What TRL's AsyncGRPOTrainer needs of other machines, on this one: a sampler, its weights, and attention.

Stand-ins. The sampler is a copy of the model in this process, in the trainer's own place for a worker; its
weights arrive through the trainer's own place for a transfer. The attention over packed completions is FlashAttention
3, for Hopper GPUs, fetched from the hub: here it is the same attention, a segment at a time. The client of a vLLM
server is left out, as nobody asks it anything, and so is the look at what GPU this is.
"""

import math
import queue
from types import SimpleNamespace

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from trl.experimental.async_grpo import async_grpo_trainer, packing
from trl.experimental.async_grpo.async_rollout_worker import RolloutSample
from trl_tiny import EOS, TEMPERATURE, VOCABULARY, even_digits, model, prompts, tokenizer


def attention(query, key, value, starts_q, starts_k, longest_q, longest_k, softmax_scale=None, causal=True, **_):
    """Attention of queries (tokens, heads, size) to the keys of their segment, which end where the queries end."""
    parts = []
    for at in range(len(starts_q) - 1):
        q = query[starts_q[at] : starts_q[at + 1]]
        k, v = (x[starts_k[at] : starts_k[at + 1]] for x in (key, value))
        scores = torch.einsum("qhd,khd->hqk", q, k) * (softmax_scale or 1 / math.sqrt(q.shape[-1]))
        later = torch.ones(len(q), len(k), dtype=torch.bool).triu(1 + len(k) - len(q))
        parts.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(later, -torch.inf).softmax(-1), v))
    return torch.cat(parts)


def use_stand_ins(monkeypatch):
    monkeypatch.setattr(async_grpo_trainer, "VLLMClient", lambda url, timeout: None)
    monkeypatch.setattr(async_grpo_trainer, "get_peak_flops_per_device", lambda accelerator, dtype: None)
    monkeypatch.setattr(packing, "_flash_attn", lambda: SimpleNamespace(flash_attn_varlen_func=attention))


def saved_model(folder, spread=0.02):
    model(spread).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def log_probs(language_model, ids):
    """The log-probs of tokens 1, 2, ... of one sequence by the definition."""
    logits = language_model(input_ids=torch.as_tensor(ids)[None]).logits[0, :-1] / TEMPERATURE
    return torch.log_softmax(logits, -1).gather(-1, torch.as_tensor(ids)[1:, None])[:, 0]


class Sampler:
    """Takes the weights it is sent, and answers prompts with groups of completions when it is asked for samples."""

    def __init__(self, path, group_size=4, length=6):
        self.model = AutoModelForCausalLM.from_pretrained(path)
        self.rollout_buffer, self.metrics_queue = self, queue.Queue()
        self.group_size, self.length = group_size, length
        self.version, self.made, self.samples = 0, 0, []
        self.prompts = [tokenizer()(row["prompt"])["input_ids"] for row in prompts()]
        self.random = torch.Generator().manual_seed(4)

    # The trainer's worker.
    def start(self):
        """Nothing runs beside the trainer."""

    def stop(self):
        """Nothing runs beside the trainer."""

    def update_model_version(self, model_version):
        self.version = model_version

    def check_health(self, stale_after_s):
        raise AssertionError("the queue is never empty")

    # Its queue.
    def qsize(self):
        return len(self.samples)

    def get(self, timeout=None):
        if not self.samples:
            self.samples = self._group()
        return self.samples.pop(0)

    # The trainer's transfer of weights.
    init_weight_transfer = pause = resume = destroy = start

    def send_weights(self, iterator):
        own = dict(self.model.named_parameters())
        for name, tensor in iterator:
            own[name].data.copy_(tensor)

    @torch.no_grad()
    def _group(self):
        prompt = self.prompts[self.made % len(self.prompts)]
        answers = [self._answer(prompt) for _ in range(self.group_size)]
        rewards = torch.tensor(even_digits(["".join(VOCABULARY[i] for i in ids) for ids in answers]))
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        self.made += 1
        return [
            sample(prompt, ids, advantage.item(), self.made, self.version, log_probs(self.model, prompt + ids))
            for ids, advantage in zip(answers, advantages, strict=True)
        ]

    def _answer(self, prompt):
        ids = []
        while len(ids) < self.length and EOS not in ids:
            logits = self.model(input_ids=torch.tensor([prompt + ids])).logits[0, -1] / TEMPERATURE
            ids.append(int(torch.multinomial(logits.softmax(-1), 1, generator=self.random)))
        return ids


def sample(prompt, completion, advantage, group, version, logp):
    """What a worker of TRL's puts into its queue; `logp` of every token but the first."""
    trained = np.array([0] * len(prompt) + [1] * len(completion))
    return RolloutSample(
        prompt=[],
        completion=[],
        input_ids=np.array(prompt + completion),
        completion_mask=trained,
        old_log_probs=np.concatenate([[0.0], logp.numpy()]) * trained,
        advantage=advantage,
        model_version=version,
        group_id=group,
        metrics={"reward": advantage},
    )
