"""What must come out the same, bit for bit, however often a command was killed; times are left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Results = dict[str, str]
_MODEL = ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_TIMES = ("seconds", "timing", "command", "step_time", "machine", "environment")


def of_train(folder: Path) -> Results:
    """Weights, metrics, evaluations, samples and result of a run, by file; "missing" where there is none."""
    found = {f"model/{name}": _hash(folder / "model" / name) for name in _MODEL}
    found |= {name: _hash(folder / name) for name in ("evaluations.jsonl", "samples.jsonl")}
    return found | {name: _without_times(folder / name) for name in ("metrics.jsonl", "result.json")}


def of_eval(folder: Path) -> Results:
    """Problems, samples and result of an evaluation, by file."""
    found = {path.name: _hash(path) for path in folder.glob("*.jsonl")}
    return found | {"result.json": _without_times(folder / "result.json")}


def of_compare(folder: Path) -> Results:
    """Results of every run of a comparison, its table and its numbers, by file."""
    found = {name: _hash(folder / name) for name in ("table.md",)}
    for run in sorted(folder.glob("*/seed-*/")):
        found |= {f"{run.relative_to(folder)}/{name}": value for name, value in of_train(run).items()}
    return found | {"results.json": _without_times(folder / "results.json")}


OF: Mapping[str, Callable[[Path], Results]] = {"train": of_train, "eval": of_eval, "compare": of_compare}


def difference(expected: Results, found: Results) -> str | None:
    """The files that differ, None for none.

    >>> difference({"a": "1", "b": "2"}, {"a": "1", "b": "3"})
    'b differs'
    """
    names = [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
    missing = [name for name in names if found.get(name, "missing") == "missing"]
    if missing:
        return f"{', '.join(missing)} missing"
    return f"{', '.join(names)} differs" if names else None


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _without_times(path: Path) -> str:
    """The JSON of a file without what tells times and places; unreadable lines as they are."""
    if not path.is_file():
        return "missing"
    text = path.read_text(encoding="utf-8", errors="replace")
    parts = text.splitlines() if path.suffix == ".jsonl" else [text]
    return "\n".join(json.dumps(_pruned(_parsed(part)), sort_keys=True) for part in parts)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _pruned(entry) for name, entry in value.items() if name not in _TIMES}
    return [_pruned(entry) for entry in value] if isinstance(value, list) else value
