"""A run is a folder: resolved configuration, environment, metrics as JSON lines, samples, checkpoints and the result.

config.yaml         what the run was asked for; `bandpo train --config` takes it again
environment.json    machine and package versions
metrics.jsonl       what the trainer logged, one object a step
evaluations.jsonl   scores on the held-out problems over training
samples.jsonl       held-out answers of the final policy
checkpoint-N/       the trainer's own, to resume from
model/              final policy and tokenizer
result.json         written last: the run is complete
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from numbers import Integral
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

CONFIG, RESULT = "config.yaml", "result.json"
METRICS, EVALUATIONS, SAMPLES = "metrics.jsonl", "evaluations.jsonl", "samples.jsonl"
_LOCK = ".lock"
_PACKAGES = ("bandpo", "torch", "trl", "transformers", "accelerate", "datasets", "tokenizers", "numpy")


def environment() -> dict[str, Any]:
    """Machine and package versions, for the record and for bug reports."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": packages,
    }


def to_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON: NaN and infinities become null, NumPy and one-element torch numbers become numbers.

    >>> to_json({"loss": float("nan"), "step": 3})
    '{"loss": null, "step": 3}'
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else None


class RunFolder:
    """One run's files. Nothing finished is overwritten: see `claim`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock: FileLock | None = None

    def is_complete(self) -> bool:
        return (self.path / RESULT).is_file()

    def config(self) -> dict[str, Any] | None:
        """What the run was asked for, None where no run has begun."""
        path = self.path / CONFIG
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None

    def difference(self, config: Mapping[str, Any]) -> str | None:
        """The first option in which the run that is here differs from `config`, as a phrase."""
        earlier = self.config() or {}
        for name in sorted({*earlier, *config}):
            if earlier.get(name) != config.get(name):
                return f"{name}={earlier.get(name)!r}, now {config.get(name)!r}"
        return None

    def refuse(self, config: Mapping[str, Any], overwrite: bool = False) -> None:
        """Raise ValueError where a run of `config` cannot begin or go on in the folder, which is left as it is."""
        here = f"output_dir={str(self.path)!r}"
        begun = self.config() is not None
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{here} is a file: expected a folder")
        if not (begun or self.is_complete()) and self._holds_other_files():
            raise ValueError(f"{here} is not empty and holds no run: choose another")
        if self.is_complete() and not overwrite:
            raise ValueError(f"{here} holds a finished run: choose another or add --overwrite")
        changed = self.difference(config) if begun and not overwrite else None
        if changed:
            raise ValueError(
                f"{here} holds an unfinished run with {changed}: choose another output_dir, the same options to "
                "resume, or --overwrite"
            )

    def claim(self, config: Mapping[str, Any], overwrite: bool = False) -> str | None:
        """Prepare the folder for a run of `config`; return the checkpoint to resume from, if a run was cut short.

        Until this process ends, no other can claim the folder.

        Raises:
            ValueError: the folder holds a finished run, a run of another configuration, or other files; or another
                process is running in it.
        """
        self.refuse(config, overwrite)
        begun = self.config() is not None
        self._hold()
        if begun and not overwrite:
            return self.last_checkpoint()
        (self.path / RESULT).unlink(missing_ok=True)
        for saved in (*self.path.glob("checkpoint-*"), *self.path.glob("model")):
            shutil.rmtree(saved)
        for name in (METRICS, EVALUATIONS, SAMPLES):
            (self.path / name).unlink(missing_ok=True)
        self._write(CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        self._write("environment.json", to_json(environment(), indent=2) + "\n")
        return None

    def _holds_other_files(self) -> bool:
        left_by_a_kill = (_LOCK, f"{CONFIG}.partial")
        return self.path.is_dir() and any(path.name not in left_by_a_kill for path in self.path.iterdir())

    def _hold(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.path / _LOCK, is_singleton=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"output_dir={str(self.path)!r}: another process is running in it") from None

    def last_checkpoint(self) -> str | None:
        """The newest checkpoint that was written to its end."""
        complete = (path for path in self.path.glob("checkpoint-*") if _is_whole(path))
        newest = max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
        return None if newest is None else str(newest)

    def append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records to a JSON-lines file."""
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.writelines(to_json(record) + "\n" for record in records)

    def replace(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Write a JSON-lines file anew."""
        self._write(name, "".join(to_json(record) + "\n" for record in records))

    def rewind(self, step: int) -> None:
        """Drop metrics and evaluations after `step`, which a resumed run writes again; at 0, where it begins, all."""
        for name in (METRICS, EVALUATIONS):
            kept = [record for record in self.read(name) if record["step"] <= step] if step > 0 else []
            self.replace(name, kept)

    def read(self, name: str) -> list[dict[str, Any]]:
        """All whole records of a JSON-lines file; a last line cut short by a kill is left out."""
        path = self.path / name
        records = []
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, last and in one move, so that its presence means the run is complete."""
        self._write(RESULT, to_json(result, indent=2) + "\n")

    def result(self) -> dict[str, Any]:
        return json.loads((self.path / RESULT).read_text(encoding="utf-8"))

    def _write(self, name: str, text: str) -> None:
        """Write a file in one move: a kill leaves the old one or the new one."""
        partial = self.path / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)


def _is_whole(checkpoint: Path) -> bool:
    """Whether the trainer's state, which it writes last, is there and not cut short."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
