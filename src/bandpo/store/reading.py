"""What a run's folder holds, read by whoever asks; a damaged file is one sentence that says how to go on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bandpo.store import checkpoints
from bandpo.store.lock import holder
from bandpo.store.mark import read_mark
from bandpo.store.records import parse_object, printable, read_records
from bandpo.store.seal import broken

CONFIG, RESULT = "config.yaml", "result.json"


class RunReader:
    """One run's files. Reading changes nothing, and needs no mark."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def is_complete(self) -> bool:
        """Return whether the run has ended and all that it wrote is whole."""
        try:
            self.result()
        except (OSError, ValueError):
            return False
        return self.damage() is None

    def damage(self) -> str | None:
        """Return which file of a finished run is not as it was when the run ended, as a phrase; None where all are."""
        if not (self.path / RESULT).exists():
            return None
        try:
            self.result()
        except (OSError, ValueError):
            return f"{RESULT} is damaged"
        return broken(self.path)

    def result(self) -> dict[str, Any]:
        """Return what the finished run wrote.

        Raises:
            ValueError: the result is damaged.
            OSError: there is none.
        """
        try:
            return parse_object((self.path / RESULT).read_bytes())
        except ValueError as error:
            raise ValueError(f"{self.path / RESULT} is damaged ({error}): the same command finishes the run") from None

    def config(self) -> dict[str, Any] | None:
        """Return what the run was asked for, None where no run has begun.

        Raises:
            ValueError: it is damaged.
        """
        path = self.path / CONFIG
        if not path.is_file():
            return None
        try:
            config = yaml.safe_load(path.read_bytes().decode("utf-8"))
        except Exception:  # what its constructors raise is of many kinds
            config, reason = None, "not YAML"
        else:
            reason = "empty" if config is None else "no mapping of options"
        if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
            way_on = "restore it, choose another folder, or move this one aside by --overwrite"
            raise ValueError(f"{path} is damaged ({reason}): {way_on}")
        return config

    def difference(self, config: Mapping[str, Any]) -> str | None:
        """Return the first option in which the run that is here differs from `config`, as a phrase, or None.

        Raises:
            ValueError: the configuration that is here is damaged.
        """
        earlier = self.config() or {}
        for name in sorted({*earlier, *config}):
            if earlier.get(name) != config.get(name):
                return f"{name}={earlier.get(name)!r}, now {config.get(name)!r}"
        return None

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Return whether a run of ours is here, whole enough to be known, and of this configuration."""
        try:
            return bool(read_mark(self.path) and self.config()) and self.difference(config) is None
        except ValueError:
            return False

    def holder(self) -> str | None:
        """Return who runs in the folder, such as "process 4711", or None where nobody does."""
        return holder(self.path)

    def last_checkpoint(self) -> str | None:
        """Return the newest checkpoint that is whole, if any."""
        try:
            run = read_mark(self.path)
        except ValueError:
            run = None
        newest = None if run is None else checkpoints.newest_whole(self.path, run)[0]
        return None if newest is None else str(newest)

    def read(self, name: str, say_damage: bool = False) -> list[dict[str, Any]]:
        """Return all whole records of a JSON-lines file; a last line cut short by a kill is left out.

        Args:
            name: of the file.
            say_damage: say on standard error which lines within the file are no objects, and left out.
        """
        records, damaged = read_records(self.path / name)
        if damaged and say_damage:
            lines = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
            self.say(f"{name}: {len(damaged)} damaged lines are left out ({lines})")
        return records

    def say(self, text: str) -> None:
        """Tell the user something about the folder on standard error."""
        print(printable(f"bandpo: {self.path}: {text}"), file=sys.stderr, flush=True)
