"""What a format is to the reader: a name, how its files are known, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.reading.look import Look

MAX_TOKENS = 2**20


@dataclass(frozen=True)
class Options:
    """How to read.

    Attributes:
        columns: names of `TokenBatch`, mask and step included, to names in the file.
        max_tokens: positions of a batch, padding included; a longer sequence comes alone.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int = MAX_TOKENS


class Format(NamedTuple):
    """One way of writing batches down.

    Attributes:
        name: who writes such files, and what they are called there.
        recognises: whether a file is one, from its first bytes and the names in it.
        read: its batches; may raise anything at a file that is not what it looks like.
        has_columns: its columns may be named by the reader's caller.
    """

    name: str
    recognises: Callable[[Look], bool]
    read: Callable[[Look, Options], Iterator[TokenBatch]]
    has_columns: bool = False
