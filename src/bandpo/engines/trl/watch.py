"""What is known of a generated batch beside its loss: whose answers are whose, their rewards, how old its policy is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from bandpo.engines.common.objective import Objective
from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture
from bandpo.engines.trl.config import BandGRPOConfig
from bandpo.engines.trl.recording import FOLDER, GROUP, MADE_AT, REWARD, Recording

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "use_vllm")


class BatchWatch:
    """Marks generated batches, and writes down what the loss saw of them where the settings ask for it.

    Args:
        args: settings of the trainer.
        objective: the method with its hyperparameters.
        accelerator: of the trainer.
        processor: the trainer's tokenizer, or the processor that has one.
    """

    def __init__(self, args: BandGRPOConfig, objective: Objective, accelerator: Accelerator, processor: Any):
        self._accelerator = accelerator
        self._rewards: Tensor | None = None
        self._groups_made = 0
        self._recording: Recording | None = None
        if args.record_every and accelerator.is_main_process:
            settings = {"engine": "trl", "method": args.method, "anchor": objective.anchor}
            settings |= {"options": dict(objective.options), **{name: getattr(args, name) for name in _SAMPLING}}
            settings["processes"] = accelerator.num_processes
            folder, decode = Path(str(args.output_dir), FOLDER), getattr(processor, "tokenizer", processor).decode
            self._recording = Recording(folder, args.record_every, args.record_tokens, settings, decode)

    def scored(self, rewards: Tensor) -> None:
        """Keep the rewards of the answers of all processes, (answers, reward functions) weighed."""
        self._rewards = rewards.nansum(1)

    def generated(self, output: dict[str, Any], group_size: int, step: int) -> None:
        """Add to a generated batch the group and the reward of each answer, and the step it was made at.

        Args:
            output: TRL's generated batch, B answers of this process.
            group_size: answers to one prompt, one after another over all processes.
            step: optimizer steps taken so far.
        """
        mask = output["completion_mask"]
        first = self._accelerator.process_index * len(mask)
        rows = first + torch.arange(len(mask), device=mask.device)
        output[GROUP] = self._groups_made + rows // group_size
        output[MADE_AT] = torch.full_like(rows, step)
        if self._rewards is not None:
            output[REWARD] = self._rewards[first : first + len(mask)].to(mask.device)
        self._groups_made += -(-len(mask) * self._accelerator.num_processes // group_size)

    def seen(self, batch: MicroBatch, capture: LossCapture, step: int) -> None:
        """Keep a micro-batch of a step that is recorded; at the end of the step it is written."""
        if self._recording is None or not self._recording.wants(step):
            return
        self._recording.add(batch, capture, step)
        if self._accelerator.sync_gradients:
            self._recording.finish()
