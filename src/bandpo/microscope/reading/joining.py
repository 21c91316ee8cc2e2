"""The parts of one step, which several processes wrote, as one batch: answers to a prompt may lie in several parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from bandpo.microscope.batch import TokenBatch, joined
from bandpo.microscope.errors import BatchError
from bandpo.microscope.parts import processes_of


def joined_parts(
    files: Sequence[Path],
    read: Callable[[Path], Iterable[TokenBatch]],
    max_tokens: int,
    on_error: Callable[[Path, BatchError], None],
) -> Iterator[TokenBatch]:
    """Yield what the processes of one step wrote as one batch, as several where it is larger than `max_tokens`.

    A part that is missing or cannot be read is left out, with a note; so is one whose sequences another holds too, as
    processes that share a model between them have.

    Args:
        files: the parts that are there.
        read: a file's batches; may raise BatchError.
        max_tokens: positions of a batch, padding included.
        on_error: called with a part that cannot be read.
    """
    batches: list[TokenBatch] = []
    seen: set[bytes] = set()
    whole = repeated = 0
    for file in files:
        try:
            found = list(read(file))
        except BatchError as error:
            on_error(file, error)
            continue
        whole += 1
        mark = b"".join(map(_fingerprint, found))
        repeated += mark in seen
        batches += [] if mark in seen else found
        seen.add(mark)
    processes = processes_of(files[0])
    notes = [f"{whole} of {processes} processes' parts of this step are there"] if whole < processes else []
    if repeated:
        notes.append(f"{repeated} of {processes} processes hold the sequences of another, which are counted once")
    for some in _bounded(batches, max_tokens):
        batch = joined(some)
        yield replace(batch, source=str(_place(files[0])), notes=(*notes, *batch.notes))


def _bounded(batches: Iterable[TokenBatch], max_tokens: int) -> Iterator[list[TokenBatch]]:
    """Yield the batches, as many at a time as have at most `max_tokens` positions together, one at least."""
    some: list[TokenBatch] = []
    for batch in batches:
        width = max(each.mask.shape[1] for each in (*some, batch))
        if some and width * sum(len(each.mask) for each in (*some, batch)) > max_tokens:
            yield some
            some = []
        some.append(batch)
    if some:
        yield some


def _fingerprint(batch: TokenBatch) -> bytes:
    """Return what tells the sequences of a batch from those of any other."""
    found = hashlib.blake2b(digest_size=16)
    for name in ("mask", *(name for name in ("logp_old", "logp_rollout", "advantages") if name in batch.names)):
        found.update(getattr(batch, name).contiguous().view(torch.uint8).numpy().tobytes())
    return found.digest()


def _place(file: Path) -> Path:
    """Return what stands for all parts in a report.

    >>> _place(Path("step_00010_rank_00001_of_00002.safetensors")).name
    'step_00010_rank_*.safetensors'
    """
    return file.with_name(f"{file.name.partition('_rank_')[0]}_rank_*{file.suffix}")
