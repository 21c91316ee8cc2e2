"""Two evaluations of the same problems: paired differences, or the reason why they cannot be compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
_OF_A_TASK = ("problems", "one_answer", "fixed_length")


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
    configs = [_config(folder) for folder in folders]
    _check_comparable(folders, configs)
    seed = configs[0]["seed"]
    differences = {}
    for task in configs[0]["tasks"]:
        columns = [_columns(folder, config, task) for folder, config in zip(folders, configs, strict=True)]
        differences[task] = {
            name: _difference(both_scored(columns[0][name], columns[1][name]), seed)
            for name in columns[0]
            if name in columns[1]
        }
    return {
        "a": {"folder": str(a), "settings": configs[0]},
        "b": {"folder": str(b), "settings": configs[1]},
        "differences": differences,
        "intervals": {"method": BOOTSTRAP, "level": LEVEL, "resamples": RESAMPLES, "seed": seed},
        "p": {"method": PERMUTATION, "resamples": RESAMPLES, "seed": seed, "corrected": False},
        "versions_differ": {
            name: [config[name] for config in configs]
            for name in configs[0]
            if name.startswith("version.") and configs[0][name] != configs[1].get(name)
        },
    }


def _difference(sides: tuple[tuple[Any, Any], tuple[Any, Any]], seed: int) -> dict[str, Any]:
    a, b = (float(ratio_of_sums(*side)) for side in sides)
    return {"a": a, "b": b, **paired_difference(*sides, seed)}


def _config(folder: RunFolder) -> dict[str, Any]:
    config = folder.config()
    if config is None or "tasks" not in config or not isinstance(config["tasks"], list):
        raise ValueError(f"{folder.path}: no evaluation here, expected a folder that `bandpo eval` wrote")
    if not folder.is_complete():
        raise ValueError(f"{folder.path}: not finished, the command that began it goes on where it was")
    for name in ("n", "k", "seed", *(f"{task}.{key}" for task in config["tasks"] for key in _OF_A_TASK)):
        if config.get(name) is None:
            raise ValueError(f"{folder.path / CONFIG} is damaged (it lacks {name}): expected as `bandpo eval` wrote it")
    return config


def _check_comparable(folders: tuple[RunFolder, RunFolder], configs: list[dict[str, Any]]) -> None:
    a, b = configs
    for name in sorted({*a, *b}):
        may_differ = name in _MAY_DIFFER or name.startswith(_MAY_DIFFER_WITHIN)
        if not may_differ and a.get(name) != b.get(name) and not _is_another_tokenizer(name, a, b):
            raise ValueError(
                f"{folders[0].path} has {name}={a.get(name)!r}, {folders[1].path} {b.get(name)!r}: "
                "expected the same problems and settings"
            )


def _is_another_tokenizer(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether only the tokens of the same prompts differ, as between model families."""
    problems = name.replace(".tokens_sha256", ".sha256")
    return name.endswith(".tokens_sha256") and a.get(problems) == b.get(problems)


def _columns(folder: RunFolder, config: Mapping[str, Any], task: str) -> Columns:
    records = read_samples(folder, task, say_damage=True)
    expected = {(problem, sample) for problem in range(config[f"{task}.problems"]) for sample in range(config["n"])}
    found = {(record["problem"], record["sample"]) for record in records}
    if found != expected or len(records) != len(expected):
        raise ValueError(
            f"{folder.path / samples_file(task)} has {len(found & expected)} samples: expected {len(expected)}, each "
            "once; `bandpo eval --overwrite` draws them anew"
        )
    return score_columns(by_problem(records, config[f"{task}.problems"]), config, task)
