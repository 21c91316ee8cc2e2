"""What verl's training worker does around a loss: when it takes old log-probs, and whose tokens a micro-batch holds.

A worker that has just scored a batch with the weights it is about to train begins a first use: until its first
optimizer step every ratio must be 1. In trainers that put earlier weights back to score with them, nothing is concluded
from it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from bandpo.engines.common.first_calls import begin_first_use, row_hashes
from bandpo.engines.verl.options import NAME

_WORKERS = "verl.workers.engine_workers"
# verl's asynchronous trainers score with weights that they restore for it.
_RESTORES = "verl.experimental.separation.engine_workers"

_micro_batch: Any = None


def watch_workers() -> None:
    """Let verl's `TrainingWorker`, where this process has one, say what it does."""
    worker = getattr(sys.modules.get(_WORKERS), "TrainingWorker", None)
    if worker is None or hasattr(worker, "is_watched_by_bandpo"):
        return
    worker.is_watched_by_bandpo = True
    for name, wrapped in (("infer_batch", _scoring), ("train_mini_batch", _training), ("train_batch", _training)):
        stock = getattr(worker, name, None)
        if stock is not None:
            setattr(worker, name, wrapped(stock))


def known_tokens() -> Mapping[str, Tensor]:
    """Return token_ids and groups of the micro-batch that verl's worker computes a loss of, nothing where unknown."""
    data = _micro_batch
    if data is None or "responses" not in data or "prompts" not in data:
        return {}
    prompts, responses = (_padded(data[name]) for name in ("prompts", "responses"))
    return {"token_ids": responses, "groups": row_hashes(prompts)}


def _padded(rows: Tensor) -> Tensor:
    return rows.to_padded_tensor(0) if rows.is_nested else rows


def _scoring(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Return `infer_batch`, which notes that the weights of now have scored a batch."""

    @functools.wraps(stock)
    def infer_batch(self: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        is_reference = "no_lora_adapter" in data
        output = stock(self, data, *args, **kwargs)
        self.has_scored = getattr(self, "has_scored", False) or not is_reference
        return output

    return infer_batch


def _training(stock: Callable[..., Any]) -> Callable[..., Any]:
    """Return `train_mini_batch` or `train_batch`, which begins a first use and shows its micro-batches."""

    @functools.wraps(stock)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _trains_with_us(self):
            return stock(self, *args, **kwargs)
        if getattr(self, "has_scored", False) and _RESTORES not in sys.modules:
            begin_first_use("verl")
        self.has_scored = False
        shown, self.loss_fn = self.loss_fn, _showing(self.loss_fn)
        try:
            return stock(self, *args, **kwargs)
        finally:
            self.loss_fn = shown

    return train


def _trains_with_us(worker: Any) -> bool:
    """Return whether a worker's loss is an actor's that has chosen ours; a critic's is not."""
    actor = getattr(getattr(worker, "loss_fn", None), "keywords", {}).get("config")
    policy = getattr(actor, "policy_loss", None)
    return policy is not None and policy.get("loss_mode") == NAME


def _showing(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a worker's loss, which `known_tokens` knows the micro-batch of while it runs."""

    @functools.wraps(loss_fn)
    def showing(*args: Any, **kwargs: Any) -> Any:
        global _micro_batch
        _micro_batch = kwargs.get("data")
        try:
            return loss_fn(*args, **kwargs)
        finally:
            _micro_batch = None

    return showing
