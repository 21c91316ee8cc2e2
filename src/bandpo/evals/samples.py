"""Saved samples as they are read back: what is no whole sample is none."""

from __future__ import annotations

from typing import Any

from bandpo.store.reading import RunReader

_KINDS: dict[str, tuple[type, ...]] = {
    "problem": (int,),
    "sample": (int,),
    "completion": (str,),
    "answer": (str, type(None)),
    "reward": (int, float, type(None)),
    "correct": (bool, type(None)),
    "tokens": (int,),
    "truncated": (bool, type(None)),
    "entropy_sum": (int, float, type(None)),
    "surprisal_sum": (int, float, type(None)),
}


def samples_file(task: str) -> str:
    """Return the name of a task's samples in the folder.

    >>> samples_file("countdown")
    'countdown.samples.jsonl'
    """
    return f"{task}.samples.jsonl"


def read_samples(folder: RunReader, task: str, say_damage: bool = False) -> list[dict[str, Any]]:
    """Return the whole samples of a task.

    Args:
        folder: of the evaluation.
        task: name in it.
        say_damage: say on standard error what is left out.
    """
    records = folder.read(samples_file(task), say_damage)
    whole = [record for record in records if is_sample(record)]
    if say_damage and len(whole) < len(records):
        folder.say(f"{samples_file(task)}: {len(records) - len(whole)} lines that are no samples are left out")
    return whole


def is_sample(record: dict[str, Any]) -> bool:
    """Return whether a record has all that scores are made of, each of its kind."""
    if not all(name in record and type(record[name]) in kinds for name, kinds in _KINDS.items()):
        return False
    logged = record.get("logged", {})
    has_numbers = isinstance(logged, dict) and all(type(value) in (int, float) for value in logged.values())
    return has_numbers and record["correct"] == (None if record["reward"] is None else record["reward"] >= 1)
