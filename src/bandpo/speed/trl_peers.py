"""TRL's own loss as a peer: its trainer's loss function on given log-probs, without a model run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from torch import Tensor

from bandpo.speed.peers import Batch, Peer, both_ways

LARGEST = 1e6


def trl_peers() -> list[Peer]:
    """Return stock GRPO and Band-KL through TRL, eager, forward and backward, TRL's own metrics included.

    >>> [peer.name for peer in trl_peers()]  # doctest: +SKIP
    ["TRL's own GRPO loss, eager", 'band-kl through TRL, eager']
    """
    return [
        Peer("TRL's own GRPO loss, eager", both_ways(trl_loss(None)), LARGEST),
        Peer("band-kl through TRL, eager", both_ways(trl_loss("band-kl")), LARGEST),
    ]


def _trainer(method: str | None) -> Any:
    """Return a trainer of the embedded task, whose loss function is all that is used of it."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

    from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
    from bandpo.store.sources import model_source, reward_source
    from bandpo.tasks import TASKS

    source, tokenizer = model_source("countdown")
    folder = tempfile.mkdtemp(prefix="bandpo-bench-")
    common: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none", "num_iterations": 2}
    common |= {"loss_type": "dapo", "per_device_train_batch_size": 16, "num_generations": 16}
    config: Any = GRPOConfig(folder, **common)
    if method is not None:
        config = BandGRPOConfig(folder, method=method, band_metrics=False, **common)
    trainer: Any = (GRPOTrainer if method is None else BandGRPOTrainer)(
        source,
        reward_source("bandpo.tasks.countdown.reward"),
        config,
        train_dataset=Dataset.from_dict(TASKS["countdown"].training(64, 0)),
        processing_class=tokenizer,
    )
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def trl_loss(method: str | None) -> Callable[[Batch], Tensor]:
    """Return the loss of a batch by the trainer of that method, TRL's own for None; token mean."""
    trainer = _trainer(method)

    def loss(batch: Batch) -> Tensor:
        mask, entropies = batch.mask.long(), -batch.logp_old
        inputs = {
            "prompt_ids": mask[:, :1],
            "prompt_mask": mask[:, :1],
            "completion_ids": mask,
            "completion_mask": mask,
            "old_per_token_logps": batch.logp_old,
            "advantages": batch.advantages,
            "num_items_in_batch": batch.mask.sum(),
        }
        # Where TRL would run the model, and our trainer looks at what came out.
        trainer.model_outputs = batch.logp, entropies
        return trainer.compute_loss(trainer.model, inputs)

    def outputs(model: Any, *_: Any, **__: Any) -> tuple[Any, Any, None]:
        outcome = *trainer.model_outputs, None
        if getattr(trainer, "_current", None) is not None:
            trainer._current.new, trainer._current.entropy = outcome[0], outcome[1]
        return outcome

    trainer._get_per_token_logps_and_entropies = outputs
    return loss
