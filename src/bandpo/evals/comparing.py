"""Two evaluations of the same problems: paired differences, or the reason why they cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandpo.evals.config import EvalConfig
from bandpo.evals.intervals import (
    BOOTSTRAP,
    LEVEL,
    PERMUTATION,
    RESAMPLES,
    both_scored,
    paired_difference,
    ratio_of_sums,
)
from bandpo.evals.samples import read_samples, samples_file
from bandpo.evals.summary import Columns, by_problem, score_columns
from bandpo.store.folder import RunFolder
from bandpo.store.reading import CONFIG

_MAY_DIFFER = ("model", "revision", "device", "batch_size", "seed")
_MAY_DIFFER_WITHIN = ("model.", "version.")


def compare(a: str | Path, b: str | Path) -> dict[str, Any]:
    """Return every score of a minus that of b, paired by problem; of the problems that have a score in both.

    Args:
        a, b: folders of `bandpo eval`.

    Returns:
        for each task and score: a, b, difference, low, high, p, and `why` where there is no interval. The p values are
        not corrected for their number.

    Raises:
        ValueError: no finished evaluation, or other problems or settings.
    """
    folders = RunFolder(a), RunFolder(b)
    entries = [_entries(folder) for folder in folders]
    configs = [_config(folder, flat) for folder, flat in zip(folders, entries, strict=True)]
    _check_comparable(folders, entries)
    seed = configs[0].seed
    differences = {}
    for task in configs[0].tasks:
        columns = [_columns(folder, config, task) for folder, config in zip(folders, configs, strict=True)]
        differences[task] = {
            name: _difference(both_scored(columns[0][name], columns[1][name]), seed)
            for name in columns[0]
            if name in columns[1]
        }
    return {
        "a": {"folder": str(a), "settings": entries[0]},
        "b": {"folder": str(b), "settings": entries[1]},
        "differences": differences,
        "intervals": {"method": BOOTSTRAP, "level": LEVEL, "resamples": RESAMPLES, "seed": seed},
        "p": {"method": PERMUTATION, "resamples": RESAMPLES, "seed": seed, "corrected": False},
        "versions_differ": {
            name: [flat[name] for flat in entries]
            for name in entries[0]
            if name.startswith("version.") and entries[0][name] != entries[1].get(name)
        },
    }


def _difference(sides: tuple[tuple[Any, Any], tuple[Any, Any]], seed: int) -> dict[str, Any]:
    a, b = (float(ratio_of_sums(*side)) for side in sides)
    return {"a": a, "b": b, **paired_difference(*sides, seed)}


def _entries(folder: RunFolder) -> dict[str, Any]:
    """Return what `config.yaml` of a finished evaluation holds."""
    entries = folder.config()
    if entries is None or not isinstance(entries.get("tasks"), list):
        raise ValueError(f"{folder.path}: no evaluation here, expected a folder that `bandpo eval` wrote")
    if damage := folder.damage():
        raise ValueError(f"{folder.path}: {damage}, the command that began it finishes it again")
    if not folder.is_complete():
        raise ValueError(f"{folder.path}: not finished, the command that began it goes on where it was")
    return entries


def _config(folder: RunFolder, entries: Mapping[str, Any]) -> EvalConfig:
    try:
        return EvalConfig.read(entries)
    except ValueError as error:
        raise ValueError(f"{folder.path / CONFIG} is damaged ({error}): expected as `bandpo eval` wrote it") from None


def _check_comparable(folders: tuple[RunFolder, RunFolder], entries: list[dict[str, Any]]) -> None:
    a, b = entries
    for name in sorted({*a, *b}):
        may_differ = name in _MAY_DIFFER or name.startswith(_MAY_DIFFER_WITHIN)
        if not may_differ and a.get(name) != b.get(name) and not _is_another_tokenizer(name, a, b):
            raise ValueError(
                f"{folders[0].path} has {name}={a.get(name)!r}, {folders[1].path} {b.get(name)!r}: "
                "expected the same problems and settings"
            )


def _is_another_tokenizer(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Return whether only the tokens of the same prompts differ, as between model families."""
    problems = name.replace(".tokens_sha256", ".sha256")
    return name.endswith(".tokens_sha256") and a.get(problems) == b.get(problems)


def _columns(folder: RunFolder, config: EvalConfig, task: str) -> Columns:
    records, problems = read_samples(folder, task, say_damage=True), config.tasks[task].problems
    expected = {(problem, sample) for problem in range(problems) for sample in range(config.n)}
    saved = {(record["problem"], record["sample"]) for record in records}
    if saved != expected or len(records) != len(expected):
        raise ValueError(
            f"{folder.path / samples_file(task)} has {len(saved & expected)} samples: expected {len(expected)}, each "
            "once; `bandpo eval --overwrite` draws them anew"
        )
    return score_columns(by_problem(records, problems), config, task)
