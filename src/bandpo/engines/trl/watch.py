"""What is known of a generated batch beside its loss: whose answers are whose, their rewards, how old its policy is.

On the first use of a batch the ratio must be 1, whatever the method: that is looked at in every run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from bandpo.core.objective.metrics import Metrics
from bandpo.engines.common.first_use import FirstUseCheck
from bandpo.engines.common.objective import Objective
from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture
from bandpo.engines.trl.config import BandGRPOConfig
from bandpo.engines.trl.recording import FOLDER, GROUP, MADE_AT, REWARD, Recording
from bandpo.microscope.alignment.first_ratio import first_ratio_metrics

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
        self._first_use = FirstUseCheck(objective, is_silent=not accelerator.is_main_process)
        self._recording: Recording | None = None
        if args.record_every:
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
        rows = first + torch.arange(len(mask))  # on the CPU, where they are looked at
        output[GROUP] = self._groups_made + rows // group_size
        output[MADE_AT] = torch.full_like(rows, step)
        if self._rewards is not None:
            output[REWARD] = self._rewards[first : first + len(mask)].cpu()
        self._groups_made += -(-len(mask) * self._accelerator.num_processes // group_size)

    def seen(self, batch: MicroBatch, capture: LossCapture, step: int) -> Metrics:
        """Look at a micro-batch of training; at the end of a step that is recorded its file is written.

        Returns:
            `first_ratio_*` where this is the first use of the batch, nothing otherwise.
        """
        if self._recording is not None and self._recording.wants(step):
            self._recording.add(batch, capture, step)
            if self._accelerator.sync_gradients:
                self._recording.finish()
        if batch.old is None or capture.logps is None or not _is_first_use(batch, step):
            return {}
        old, inputs = batch.inputs["old_per_token_logps"], batch.inputs
        known = {"token_ids": inputs["completion_ids"], "groups": inputs.get(GROUP), "entropy": capture.entropies}
        self._first_use.look(capture.logps, old, batch.mask, **known)
        return first_ratio_metrics(capture.logps, old, batch.mask)

    def wait(self) -> None:
        """Wait until every recorded batch is on the disk."""
        if self._recording is not None:
            self._recording.wait()


def _is_first_use(batch: MicroBatch, step: int) -> bool:
    made_at = batch.inputs.get(MADE_AT)
    return made_at is not None and bool((made_at == step).all())
