"""JSON lines one at a time, so that a log of any length is read in little memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bandpo.store.records import parse_object

_LONGEST = 2**22


class Lines:
    """The objects of a JSON-lines file, in order; what is damaged is counted and passed over.

    A last line without its line break that is no object was cut short by a kill, and is not counted as damaged. A file
    that is not there has no lines.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "metrics.jsonl"
    >>> _ = path.write_text('{"step": 1}\\n[]\\n{"step": 3}\\n{"st')
    >>> lines = Lines(path); list(lines), lines.remarks()
    ([{'step': 1}, {'step': 3}], ['metrics.jsonl: 1 damaged line is left out (line 2).'])
    """

    def __init__(self, path: Path):
        self.path = path
        self.damaged: list[int] = []
        self._failure = ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            yield from self._read()
        except FileNotFoundError:
            return
        except OSError as error:
            self._failure = f"{self.path.name} cannot be read: {error.strerror}."

    def _read(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            number, is_inside = 0, False
            while part := file.readline(_LONGEST):
                is_whole, is_start, is_inside = part.endswith(b"\n"), not is_inside, not part.endswith(b"\n")
                number += is_start
                if not part.strip() or not is_start:
                    continue
                try:
                    yield parse_object(part)
                except ValueError:
                    if is_whole or len(part) == _LONGEST:
                        self.damaged.append(number)

    def remarks(self) -> list[str]:
        """Return what was passed over, as sentences."""
        if self._failure:
            return [self._failure]
        count = len(self.damaged)
        if not count:
            return []
        where = ", ".join(map(str, self.damaged[:5])) + (", ..." if count > 5 else "")
        words = ("line is", "line") if count == 1 else ("lines are", "lines")
        return [f"{self.path.name}: {count} damaged {words[0]} left out ({words[1]} {where})."]
