"""Batches of TRL's training written down for `bandpo inspect`: every so many optimizer steps, one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bandpo.engines.trl.batch import MicroBatch
from bandpo.engines.trl.capture import LossCapture
from bandpo.microscope.batch import TokenBatch, joined
from bandpo.microscope.recorder import Recorder

FOLDER = "batches"
# Entries that are added to a generated batch: the group of each answer, its reward, and the step it was made at.
GROUP, REWARD, MADE_AT = "band_group", "band_reward", "band_made_at"

Decode = Callable[[Sequence[int]], str]


class Recording:
    """The micro-batches of an optimizer step, until the step ends and they are written.

    Args:
        folder: of the files.
        every: optimizer steps from one file to the next, from step 0 on.
        max_tokens: the most tokens in a file.
        settings: method, sampling and the like, as `bandpo inspect` shows them.
        decode: token ids -> text.
    """

    def __init__(self, folder: Path, every: int, max_tokens: int, settings: Mapping[str, Any], decode: Decode):
        self.every, self.settings, self._decode = every, settings, decode
        self._recorder = Recorder(folder, max_tokens)
        self._parts: list[TokenBatch] = []
        self._texts: dict[int, str] = {}

    def wants(self, step: int) -> bool:
        """Tell whether the optimizer step that begins at `step` is to be recorded."""
        return step % self.every == 0

    def add(self, batch: MicroBatch, capture: LossCapture, step: int) -> None:
        """Keep what the loss saw of a micro-batch, and write the step's file when `finish` is called."""
        if capture.logps is not None:
            self._parts.append(self._as_tokens(batch, capture.logps, capture.entropies, step))

    def finish(self) -> None:
        """Hand the step's micro-batches to the writer."""
        parts, self._parts = self._parts, []
        if parts and any(part.tokens for part in parts):
            self._recorder.record(joined(parts))

    def wait(self) -> None:
        """Wait until every file is written."""
        self._recorder.wait()

    def _as_tokens(self, batch: MicroBatch, new: Tensor, entropy: Tensor | None, step: int) -> TokenBatch:
        inputs, logp = batch.inputs, new.detach()
        made_at = inputs.get(MADE_AT)
        ids = inputs["completion_ids"]
        return TokenBatch(
            mask=batch.mask,
            logp=logp,
            logp_old=None if batch.old is None else inputs["old_per_token_logps"],
            logp_rollout=inputs.get("sampling_per_token_logps"),
            logp_ref=inputs.get("ref_per_token_logps"),
            advantages=batch.advantages.expand_as(batch.mask),
            entropy=None if entropy is None else entropy.detach(),
            token_ids=ids,
            groups=inputs.get(GROUP),
            rewards=inputs.get(REWARD),
            step=step,
            is_first_use=None if made_at is None else bool((made_at == step).all()),
            settings=self.settings,
            texts=self._texts_of(ids[batch.mask]),
            prompts=self._prompts(inputs),
        )

    def _texts_of(self, ids: Tensor) -> dict[int, str]:
        present = torch.unique(ids).tolist()
        self._texts |= {token: self._decode([token]) for token in present if token not in self._texts}
        return {token: self._texts[token] for token in present}

    def _prompts(self, inputs: Mapping[str, Any]) -> list[str]:
        known: dict[tuple[int, ...], str] = {}
        texts = []
        for ids, mask in zip(inputs["prompt_ids"].tolist(), inputs["prompt_mask"].tolist(), strict=True):
            prompt = tuple(token for token, is_there in zip(ids, mask, strict=True) if is_there)
            if prompt not in known:
                known[prompt] = self._decode(prompt)
            texts.append(known[prompt])
        return texts
