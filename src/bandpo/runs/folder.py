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
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

CONFIG, RESULT = "config.yaml", "result.json"
METRICS, EVALUATIONS, SAMPLES = "metrics.jsonl", "evaluations.jsonl", "samples.jsonl"
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


class RunFolder:
    """One run's files. Nothing finished is overwritten: see `claim`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def is_complete(self) -> bool:
        return (self.path / RESULT).is_file()

    def claim(self, config: Mapping[str, Any], overwrite: bool = False) -> str | None:
        """Prepare the folder for a run of `config`; return the checkpoint to resume from, if a run was cut short.

        Raises:
            ValueError: the folder holds a finished run, a run of another configuration, or other files.
        """
        if overwrite:
            for path in (self.path / RESULT, self.path / CONFIG):
                path.unlink(missing_ok=True)
            for checkpoint in self.path.glob("checkpoint-*"):
                shutil.rmtree(checkpoint)
        elif self.is_complete():
            raise ValueError(f"output_dir={str(self.path)!r} holds a finished run: choose another or add --overwrite")
        elif (self.path / CONFIG).is_file():
            earlier = yaml.safe_load((self.path / CONFIG).read_text())
            names = sorted(n for n in {*earlier, *config} if earlier.get(n) != config.get(n))
            if names:
                name = names[0]
                raise ValueError(
                    f"output_dir={str(self.path)!r} holds an unfinished run with {name}={earlier.get(name)!r}, now "
                    f"{config.get(name)!r}: choose another output_dir, the same options to resume, or --overwrite"
                )
            return self.last_checkpoint()
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise ValueError(f"output_dir={str(self.path)!r} is not empty and holds no run: choose another")
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (METRICS, EVALUATIONS, SAMPLES):
            (self.path / name).unlink(missing_ok=True)
        (self.path / CONFIG).write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        (self.path / "environment.json").write_text(json.dumps(environment(), indent=2) + "\n")
        return None

    def last_checkpoint(self) -> str | None:
        """The newest checkpoint that was written to its end."""
        complete = (p for p in self.path.glob("checkpoint-*") if (p / "trainer_state.json").is_file())
        newest = max(complete, key=lambda p: int(p.name.rpartition("-")[2]), default=None)
        return None if newest is None else str(newest)

    def append(self, name: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records to a JSON-lines file."""
        with (self.path / name).open("a") as file:
            file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)

    def rewind(self, step: int) -> None:
        """Drop metrics and evaluations after `step`, which a resumed run will write again."""
        for name in (METRICS, EVALUATIONS):
            kept = [record for record in self.read(name) if record["step"] <= step]
            (self.path / name).unlink(missing_ok=True)
            self.append(name, kept)

    def read(self, name: str) -> list[dict[str, Any]]:
        """All whole records of a JSON-lines file; a last line cut short by a kill is left out."""
        path = self.path / name
        records = []
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the result, last and in one move, so that its presence means the run is complete."""
        partial = self.path / (RESULT + ".partial")
        partial.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        partial.replace(self.path / RESULT)

    def result(self) -> dict[str, Any]:
        return json.loads((self.path / RESULT).read_text())
