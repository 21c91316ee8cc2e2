"""Write batches down while training goes on: a copy is taken at once, a thread does the writing.

A recording is bounded three ways: the files of a step hold at most `max_tokens` tokens, the queue holds two batches,
and a batch that comes while it is full is left out and counted, so that a slow disk never holds up training.

In a distributed run every process writes its part, a file of its own, and has an equal share of `max_tokens`.
"""

from __future__ import annotations

import atexit
import queue
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bandpo.files.durable import write_file
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.file import as_bytes
from bandpo.microscope.parts import part_name
from bandpo.microscope.processes import rank, world_size

MAX_TOKENS = 2**16
_WAITING = 2


class RecordWarning(UserWarning):
    """A batch that could not be written down; training goes on."""


class Recorder:
    """A folder that batches are written to, `step_00010.safetensors` and so on.

    Args:
        folder: made if it is not there.
        max_tokens: the most tokens of one step, over all processes; whole groups are left out beyond, and the file
            says how many.

    Attributes:
        left_out: batches that were not written, because the one before was still being written or the disk failed.

    >>> import tempfile
    >>> recorder = Recorder(tempfile.mkdtemp())
    >>> logp = torch.tensor([[-1.0, -2.0]])
    >>> path = recorder.record(TokenBatch(mask=torch.ones(1, 2, dtype=torch.bool), logp=logp, logp_old=logp, step=10))
    >>> recorder.wait(); path.name, path.is_file()
    ('step_00010.safetensors', True)
    """

    def __init__(self, folder: str | Path, max_tokens: int = MAX_TOKENS):
        if isinstance(max_tokens, bool) or not isinstance(max_tokens, int) or max_tokens < 1:
            raise ValueError(f"max_tokens={max_tokens!r}: expected a number of tokens, 1 at least")
        self.folder, self.max_tokens, self.left_out = Path(folder), max_tokens, 0
        self._queue: queue.Queue[tuple[TokenBatch, Path]] = queue.Queue(_WAITING)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def record(self, batch: TokenBatch) -> Path:
        """Take a copy of a batch and return the file that will hold it; the writing happens beside training.

        Raises:
            BatchError: the batch counts no token.
            OSError: the folder cannot be made.
        """
        if not batch.tokens:
            raise BatchError("the batch to record has no token that counts, its mask is 0 everywhere")
        self.folder.mkdir(parents=True, exist_ok=True)
        processes = world_size()
        path = self.folder / part_name(batch.step or 0, rank(), processes)
        kept = _copied(_bounded(batch, max(1, self.max_tokens // processes)))
        try:
            self._queue.put_nowait((kept, path))
        except queue.Full:
            self._leave_out(f"{path}: left out, the batch before it is still being written")
        else:
            self._start()
        return path

    def wait(self) -> None:
        """Wait until everything recorded so far is on the disk."""
        self._queue.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # a forked process has none
                self._thread = threading.Thread(target=self._write_all, daemon=True, name="bandpo recorder")
                self._thread.start()
                atexit.register(self.wait)

    def _write_all(self) -> None:
        while True:
            batch, path = self._queue.get()
            try:
                write_file(path, as_bytes(batch))
            except Exception as error:
                self._leave_out(f"{path}: not written: {error}")
            finally:
                self._queue.task_done()

    def _leave_out(self, reason: str) -> None:
        self.left_out += 1
        if self.left_out == 1:
            warnings.warn(RecordWarning(f"{reason}; training goes on, later ones are counted"), stacklevel=3)


_recorders: dict[Path, Recorder] = {}


def record(
    folder: str | Path,
    *,
    logp: Tensor,
    mask: Tensor,
    logp_old: Tensor | None = None,
    advantages: Tensor | None = None,
    logp_rollout: Tensor | None = None,
    logp_ref: Tensor | None = None,
    entropy: Tensor | None = None,
    token_ids: Tensor | None = None,
    groups: Tensor | None = None,
    rewards: Tensor | None = None,
    step: int | None = None,
    is_first_use: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    texts: Mapping[int, str] | None = None,
    prompts: Sequence[str] = (),
    max_tokens: int = MAX_TOKENS,
    wait: bool = False,
) -> Path:
    """Write down what a loss saw, for `bandpo inspect`; call it where your trainer computes its loss.

    The tensors are copied before this returns and written by a thread; whatever is given beyond log-probs answers
    more: token ids and groups tell a wrong temperature from noise, the sampler's log-probs tell whose fault it is.

    In a distributed run call it in every process: each writes its part, `step_00010_rank_00001_of_00002.safetensors`,
    and the parts are read as one batch. `groups` must then be numbered over all of them.

    Args:
        folder: where the file goes, `step_00010.safetensors`; an older file of that step is replaced.
        logp, logp_old, logp_rollout, logp_ref: (B, T) under the policy being trained, the old policy, the sampler and
            the reference policy, in the dtype you have them in.
        mask: (B, T), true for the tokens that count.
        advantages: (B,), (B, 1) or (B, T).
        entropy: (B, T), of the policy being trained.
        token_ids: (B, T).
        groups: (B,) numbers, equal for answers to one prompt.
        rewards: (B,).
        step: optimizer steps taken so far; 0 if not given.
        is_first_use: no step was taken between `logp_old` and `logp`.
        settings: method, options, temperature, top_p and the like.
        texts: what a token id reads as.
        prompts: one text a row.
        max_tokens: the most tokens of the step, over all processes.
        wait: return when the file is on the disk.

    Returns:
        The file's path.

    Raises:
        BatchError: (a ValueError) shapes that do not fit, no token that counts.
        OSError: the folder cannot be made.

    >>> import tempfile
    >>> logp = torch.tensor([[-1.0, -2.0]])
    >>> bandpo.record(tempfile.mkdtemp(), logp=logp, logp_old=logp, mask=torch.ones(1, 2), step=10).name
    'step_00010.safetensors'
    """
    if advantages is not None and advantages.shape != logp.shape:
        advantages = advantages.reshape(len(logp), -1).expand_as(logp)
    batch = TokenBatch(
        mask=mask != 0,
        logp=logp,
        logp_old=logp_old,
        logp_rollout=logp_rollout,
        logp_ref=logp_ref,
        advantages=advantages,
        entropy=entropy,
        token_ids=token_ids,
        groups=groups,
        rewards=rewards,
        step=step,
        is_first_use=is_first_use,
        settings=settings or {},
        texts=texts or {},
        prompts=prompts,
        source=str(folder),
    )
    recorder = _recorders.setdefault(Path(folder).absolute(), Recorder(folder, max_tokens))
    recorder.max_tokens = max_tokens
    path = recorder.record(batch)
    if wait:
        recorder.wait()
    return path


def _bounded(batch: TokenBatch, max_tokens: int) -> TokenBatch:
    """Return as many rows as hold at most `max_tokens` tokens, whole groups where one fits; one row at least."""
    if batch.tokens <= max_tokens:
        return batch
    lengths, rows = batch.mask.sum(1).tolist(), range(len(batch.mask))
    groups = list(rows) if batch.groups is None else batch.groups.tolist()
    kept = _that_fit(
        [[row for row in rows if groups[row] == group] for group in dict.fromkeys(groups)], lengths, max_tokens
    )
    kept = kept or _that_fit([[row] for row in rows], lengths, max_tokens) or [0]
    note = f"{len(rows) - len(kept)} of {len(rows)} sequences were left out, to stay within {max_tokens} tokens"
    return replace(batch.rows(sorted(kept)), notes=(*batch.notes, note))


def _that_fit(groups: Iterable[list[int]], lengths: list[int], max_tokens: int) -> list[int]:
    """Return the rows of the first groups that together hold at most `max_tokens` tokens."""
    kept: list[int] = []
    room = max_tokens
    for group in groups:
        room -= sum(lengths[row] for row in group)
        if room < 0:
            break
        kept += group
    return kept


def _copied(batch: TokenBatch) -> TokenBatch:
    """Return the batch on the CPU, sharing no memory with the trainer's."""

    def copy(name: str) -> Tensor:
        tensor: Tensor = getattr(batch, name).detach()
        return tensor.to("cpu", copy=True).contiguous()

    tensors = {name: copy(name) for name in ("mask", *batch.names)}
    integers = {name: tensors[name].long() for name in ("token_ids", "groups") if name in tensors}
    return replace(batch, **{**tensors, **integers})
