"""The results file of a part: written whole after every number, so that whatever ends the part leaves what it had."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandpo.files.durable import write_file
from benchmarks.gpu.asked import QUESTIONS

FINISHED, CUT_SHORT = "finished", "cut short with the script"


class Record:
    """What a part has measured so far.

    Args:
        path: the file, replaced.
        part: the part's name.
        about: what is known before: device, machine.
    """

    def __init__(self, path: Path, part: str, about: Mapping[str, Any]):
        self.path = path
        self.data: dict[str, Any] = {"part": part, **about, "ended": None, "values": {}, "details": {}, "notes": {}}
        self._write()

    def add(self, key: str, value: float, detail: str = "") -> None:
        """Keep the answer to a question of this part, in place of an earlier one.

        Raises:
            KeyError: no question of this part.
        """
        if QUESTIONS[key].part != self.data["part"]:
            raise KeyError(f"{key}: a question of {QUESTIONS[key].part}, not of {self.data['part']}")
        # JSON has no infinities.
        self.data["values"][key] = value if math.isfinite(value) else str(value)
        if detail:
            self.data["details"][key] = detail
        self._write()
        print(f"  {QUESTIONS[key].what}: {value:.4g}{f' ({detail})' if detail else ''}", flush=True)

    def note(self, name: str, value: Any) -> None:
        """Keep what answers no question, such as a whole table."""
        self.data["notes"][name] = value
        self._write()

    def _write(self) -> None:
        write(self.path, self.data)


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write a results file in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def read(path: Path) -> dict[str, Any] | None:
    """Return what a part has written, None where it has written nothing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def value_of(data: Mapping[str, Any] | None, key: str) -> float | None:
    """Return the answer to a question, None where there is none."""
    found = (data or {}).get("values", {}).get(key)
    return None if found is None else float(found)
