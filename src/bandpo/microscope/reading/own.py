"""Our own files, which `bandpo.record` writes."""

from __future__ import annotations

from collections.abc import Iterator

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.file import FORMAT as NAME
from bandpo.microscope.file import KEY, read_file
from bandpo.microscope.reading.format import Format, Options
from bandpo.microscope.reading.look import Look


def recognises(look: Look) -> bool:
    """Return whether the metadata of a safetensors file has our key."""
    return KEY in look.metadata


def read(look: Look, options: Options) -> Iterator[TokenBatch]:
    """Yield the rows of a recorded batch."""
    return read_file(look.path, options.max_tokens)


FORMAT = Format(NAME, recognises, read)
