"""Lines of a file that may be compressed: one at a time, none of them without end."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.texts import needs, shown

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Parsed, a line takes up to twenty times its bytes.
MAX_LINE = 2**26
_MAX_BLANK_LINES = 10_000
_PIECE = 2**20


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, unpacked where it is gzip or zstd by its first bytes."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(GZIP):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return _open_zstd(path) if start == ZSTD else path.open("rb")


def _open_zstd(path: Path) -> BinaryIO:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return cast(BinaryIO, zstd.open(path, "rb"))
    try:
        import zstandard
    except ImportError:
        raise needs("zstandard", path) from None
    return cast(BinaryIO, io.BufferedReader(_Frames(zstandard, path), _PIECE))


class _Frames(io.RawIOBase):
    """The bytes of all frames of a zstd file; a frame that holds none does not end it."""

    def __init__(self, zstandard: Any, path: Path):
        self._file = path.open("rb")
        self._reader = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            before = self._file.tell()
            count = self._reader.readinto(buffer)
            if count or self._file.tell() == before:
                return count

    def close(self) -> None:
        self._file.close()
        super().close()


class Lines:
    """The JSON objects of a file, one a line, and whether the last line was cut off.

    Iterating yields `(number, object)`, counted from 1; blank lines are passed over.

    Raises:
        BatchError: a line that is no JSON object, unless it is the last and has no end; a line too long.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "a.jsonl"
    >>> _ = place.write_text('{"a": 1}\\n{"a": 2}\\n{"a":')
    >>> lines = Lines(place)
    >>> list(lines), lines.is_torn
    ([(1, {'a': 1}), (2, {'a': 2})], True)
    """

    def __init__(self, path: Path):
        self.path = path
        self.is_torn = False

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, _, line in raw_lines(self.path):
            try:
                found = parsed(line, f"{self.path}, line {number}")
            except BatchError:
                if line.endswith(b"\n") or number == 1:
                    raise
                self.is_torn = True
                return
            yield number, found


def raw_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, place in the unpacked bytes, and bytes of the lines that are not blank.

    Raises:
        BatchError: a line too long, no end of blank lines, a packed file that is cut off or damaged.
    """
    blank = place = number = 0
    with open_bytes(path) as file:
        while line := unpacked(path, file.readline, MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise BatchError(f"{path}, line {number} is longer than {MAX_LINE} bytes, expected a line a sequence")
            blank = 0 if line.strip() else blank + 1
            if blank > _MAX_BLANK_LINES:
                raise BatchError(f"{path} holds {blank} blank lines in a row, expected a JSON object a line")
            if not blank:
                yield number, place, line
            place += len(line)


def unpacked(path: Path, read: Any, size: int) -> bytes:
    """Return what a reading of a packed file gives.

    Raises:
        BatchError: the file is damaged or cut off.
    """
    try:
        return read(size)
    except Exception as error:  # every packing has errors of its own
        raise BatchError(f"{path} is damaged or cut off: {shown(error)}") from None


def parsed(line: bytes, place: str) -> dict[str, Any]:
    """Return the JSON object of a line.

    Raises:
        BatchError: something else, or nested too deep.
    """
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BatchError(f"{place} is no JSON: {shown(error)}") from None
    if not isinstance(found, dict):
        raise BatchError(f"{place} is a JSON {type(found).__name__}, expected an object")
    return found
