"""What some methods need besides log-probs, out of a TRL trainer: the entropy switch, groups, top-k lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bandpo.core.methods.top_k import with_sampled_token
from bandpo.core.regions.flexible_entropy import EntropyBoost, entropy_boost

STATE_FILE = "band_entropy_boost.json"


class EntropySwitch:
    """The oscillatory strategy's switch over a run: entropies in, one decision an optimizer step, kept in checkpoints.

    >>> switch = EntropySwitch()
    >>> switch.add(torch.tensor([[1.0, 3.0]]), torch.tensor([[True, True]]))
    >>> switch.step(lambda total: total, progress=0.0)
    >>> switch.state
    EntropyBoost(is_on=False, initial=2.0)
    """

    def __init__(self):
        self.state, self.total = EntropyBoost(), None

    def add(self, entropy: Tensor, mask: Tensor) -> None:
        """Count a micro-batch's entropies."""
        batch = torch.stack([torch.where(mask, entropy.detach(), 0.0).sum(dtype=torch.float32), mask.sum().float()])
        self.total = batch if self.total is None else self.total + batch

    def step(self, reduce: Any, progress: float) -> None:
        """Decide for the next step; `reduce` sums over processes."""
        if self.total is None:
            return
        entropy, count = reduce(self.total).tolist()
        self.total = None
        if count:
            self.state = entropy_boost(self.state, max(entropy / count, 0.0), min(progress, 1.0))

    def save(self, folder: str | Path) -> None:
        Path(folder, STATE_FILE).write_text(json.dumps(self.state._asdict()), encoding="utf-8")

    def load(self, folder: str | Path) -> None:
        self.state = EntropyBoost(**json.loads(Path(folder, STATE_FILE).read_text(encoding="utf-8")))


def group_rewards(advantages: Tensor, group_size: int) -> Tensor:
    """Return (B, G): for every answer the mean-centred rewards of its whole group; groups stand one after another.

    >>> group_rewards(torch.tensor([0.5, -0.5, 0.0, 0.0]), 2)
    tensor([[ 0.5000, -0.5000],
            [ 0.5000, -0.5000],
            [ 0.0000,  0.0000],
            [ 0.0000,  0.0000]])
    """
    return advantages.view(-1, group_size).repeat_interleave(group_size, dim=0)


def top_k_of(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return ids and log-probs of the k likeliest tokens, (..., k)."""
    log_p = torch.log_softmax(logits.detach(), -1)
    top = log_p.topk(min(k, log_p.shape[-1]), -1)
    return top.indices, top.values


def top_k_inputs(logits: Tensor, ids: Tensor, logp_rollout: Tensor) -> dict[str, Tensor]:
    """Return the lists of `bandpo.top_k_divergence`: the policy's log-probs at the sampler's ids, and the sampler's."""
    return {
        "topk_logp": torch.log_softmax(logits.detach(), -1).gather(-1, ids),
        "topk_logp_rollout": logp_rollout,
    }


def sampler_top_k(
    lists: list[tuple[Tensor, Tensor]], completion_ids: Tensor, logp_old: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """Return the top-k lists of a generated batch with the sampled tokens in them, as entries of TRL's batch."""
    ids, logp = (torch.cat(parts) for parts in zip(*lists, strict=True))
    filled = torch.where(mask, logp_old, -1.0)
    ids, logp = with_sampled_token(ids, logp, completion_ids, filled)
    return {"topk_ids": ids, "topk_logp_rollout": logp}
