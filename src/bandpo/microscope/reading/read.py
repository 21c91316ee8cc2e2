"""Batches of any files: each known by its contents, read in parts of a bounded size, refused in a sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.parts import by_step, processes_of
from bandpo.microscope.reading import (
    nemo_rl,
    notes,
    open_instruct,
    own,
    prime_rl_export,
    prime_rl_traces,
    refused,
    roll,
    slime,
    tables,
    tensor_files,
)
from bandpo.microscope.reading.decimals import cut_decimals
from bandpo.microscope.reading.folders import files_of
from bandpo.microscope.reading.format import MAX_TOKENS, Format, Options
from bandpo.microscope.reading.joining import joined_parts
from bandpo.microscope.reading.look import LINES, PARQUET, Look
from bandpo.microscope.reading.names import find_columns
from bandpo.microscope.reading.numbers import check_values
from bandpo.microscope.reading.texts import shown

# The first that recognises a file reads it.
FORMATS: tuple[Format, ...] = (
    own.FORMAT,
    prime_rl_export.FORMAT,
    prime_rl_traces.FORMAT,
    nemo_rl.FORMAT,
    roll.FORMAT,
    open_instruct.FORMAT,
    slime.FORMAT,
    tables.JSONL,
    tables.TABLE,
    refused.PICKLES,
    refused.TEXTS,
    tensor_files.FORMAT,
)
_READ = (
    "bandpo.record's files; .safetensors, .npz or .pt of tensors; JSON lines or Parquet with log-probs; dumps of "
    "prime-rl, NeMo-RL, slime, miles, ROLL and open-instruct"
)


def read_batches(
    paths: str | Path | Iterable[str | Path],
    columns: Mapping[str, str] | None = None,
    max_tokens: int = MAX_TOKENS,
    on_error: Callable[[Path, BatchError], None] | None = None,
) -> Iterator[TokenBatch]:
    """Yield the batches of files and folders, whichever engine wrote them.

    What a file lacks stands in `notes`, with the question that closes. A token whose number is null does not count.
    The files that several processes wrote of one step are one batch.

    Args:
        paths: files; folders of files; folders that an engine wrote.
        columns: names of `TokenBatch`, mask and step included, to the file's names where they are not known.
        max_tokens: positions of a batch, padding included; a longer sequence comes alone.
        on_error: called with a file and what is wrong with it; the other files are read all the same.

    Raises:
        BatchError: with a sentence on the first file that cannot be read, unless there is `on_error`.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "batch.jsonl"
    >>> _ = place.write_text('{"old_log_probs": [-1.5, -0.5], "advantage": 1, "new": [-1.25, -0.5]}')
    >>> batch, = read_batches(place, columns={"logp": "new"})
    >>> batch.names, batch.logp
    (('logp', 'logp_old', 'advantages'), tensor([[-1.2500, -0.5000]]))
    >>> batch.notes[0]
    'no log-probs of the sampler (logp_rollout): whether sampler and trainer agree cannot be said'
    """
    options = Options(dict(columns or {}), max_tokens)
    report = on_error or _raise
    places = [Path(path) for path in ([paths] if isinstance(paths, (str, Path)) else paths)]
    for files in by_step(file for place in places for file in _files(place, report)):
        if processes_of(files[0]) > 1:
            yield from joined_parts(files, lambda file: _read(file, options), max_tokens, report)
            continue
        for file in files:
            try:
                yield from _read(file, options)
            except BatchError as error:
                report(file, error)


def _raise(path: Path, error: BatchError) -> None:
    raise error


def _files(place: Path, report: Callable[[Path, BatchError], None]) -> list[Path]:
    """Return the files of a folder, or the file itself; none of a folder that is reported."""
    try:
        return files_of(place) if os.path.isdir(place) else [place]
    except BatchError as error:
        report(place, error)
        return []


def _read(path: Path, options: Options) -> Iterator[TokenBatch]:
    kind, sequences = "a file of batches", 0
    try:
        look = Look(path)
        reader = find_format(look, options.columns)
        kind = reader.name
        for batch in reader.read(look, options):
            for part in batch.parts(options.max_tokens):
                yield _finished(part, f"{path}, from sequence {sequences}" if sequences else str(path))
                sequences += len(part.mask)
    except BatchError:
        raise
    except OSError as error:
        raise BatchError(f"{path} cannot be read: {shown(error)}") from None
    except Exception as error:  # a file may hold anything, in any place
        raise BatchError(f"{path} is not what {kind} looks like: {type(error).__name__}, {shown(error)}") from error
    if not sequences:
        raise BatchError(f"{path} holds no sequence")


def find_format(look: Look, columns: Mapping[str, str] | None = None) -> Format:
    """Return the format of a file; of those whose columns can be named, where columns are given.

    Raises:
        BatchError: none is known, with what is.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "rank_0.jsonl"
    >>> _ = place.write_text('{"token_ids": [], "loss_mask": [], "inference_logprobs": [], "trainer_logprobs": []}')
    >>> find_format(Look(place)).name
    'prime-rl token export'
    """
    if columns and look.kind in (LINES, PARQUET):
        return tables.JSONL if look.kind == LINES else tables.TABLE
    for known in FORMATS:
        if (known.has_columns or not columns) and known.recognises(look):
            return known
    if look.columns:
        find_columns(look.columns, {}, look.path)
    raise BatchError(f"{look.path} is of no known format; read are {_READ}")


def _finished(batch: TokenBatch, place: str) -> TokenBatch:
    """Return a batch whose numbers are possible, with its decimals and with what it lacks in its notes."""
    for name in batch.names:
        check_values(name, getattr(batch, name), batch.mask, place, batch.dtypes.get(name))
    decimals = batch.decimals or cut_decimals(batch)
    hidden = (notes.cut_decimals(decimals),) if decimals else ()
    said = (*batch.notes, *hidden, *notes.lacks(batch))
    return replace(batch, decimals=decimals, notes=tuple(dict.fromkeys(said)))
