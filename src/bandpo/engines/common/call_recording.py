"""Recording for engines whose loss sees one micro-batch at a time and nothing of the trainer around it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.recorder import Recorder


class CallRecording:
    """Writes what every so-manieth call of a loss saw; in a distributed run every process writes its part.

    Args:
        folder: of the files; a file's step is the number of the call.
        every: calls from one file to the next, from the first on.
        settings: the method and its options, as `bandpo inspect` shows them.

    >>> import tempfile
    >>> recording = CallRecording(tempfile.mkdtemp(), 2, {"method": "band-kl"})
    >>> logp = torch.tensor([[-1.0, -2.0]])
    >>> paths = [recording.add(logp, logp, torch.ones(1, 2), torch.ones(1, 2)) for _ in range(3)]
    >>> recording.wait(); [path and path.name for path in paths]
    ['step_00000.safetensors', None, 'step_00002.safetensors']
    """

    def __init__(self, folder: str | Path, every: int, settings: Mapping[str, Any]):
        self._recorder, self._every, self._settings, self._calls = Recorder(folder), every, settings, 0

    def add(
        self, logp: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, logp_rollout: Tensor | None = None
    ) -> Path | None:
        """Count a call, and return the file that will hold it, None where it is not recorded."""
        call, self._calls = self._calls, self._calls + 1
        if call % self._every or not mask.any():
            return None
        settings = dict(self._settings)
        return self._recorder.record(
            TokenBatch(
                mask=mask != 0,
                logp=logp.detach(),
                logp_old=logp_old,
                logp_rollout=logp_rollout,
                advantages=advantages.expand_as(logp),
                step=call,
                settings=settings,
                notes=("one micro-batch of each process; its number stands for the step",),
            )
        )

    def wait(self) -> None:
        """Wait until every file is written."""
        self._recorder.wait()


@functools.lru_cache
def call_recording(folder: str, every: int, method: str, options: tuple[tuple[str, Any], ...]) -> CallRecording:
    """Return the one recording of this process with these settings."""
    return CallRecording(folder, every, {"method": method, "options": dict(options)})
