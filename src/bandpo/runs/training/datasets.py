"""Where the data of a run comes from: an embedded task, local files or the Hub."""

from __future__ import annotations

from datasets import Dataset

from bandpo.data.reading import read_table, split_names
from bandpo.runs.training.rows import Part, joined
from bandpo.store.sources import EXPECTED
from bandpo.tasks import TASKS


def dataset_parts(name: str, split: str, *, count: int = 0, seed: int = 0, option: str = "dataset") -> list[Part]:
    """Return the parts of a data set with a `prompt` column, from an embedded task, files, folders or the Hub.

    Args:
        name: task name; path of .jsonl, .json, .parquet or .csv; folder of tables or of `save_to_disk`; or Hub id.
            Several with commas between are put one after another.
        split: split of a Hub data set or folder.
        count, seed: how many problems an embedded task makes, and from which seed.
        option: what errors call the data set.

    Raises:
        ValueError: not found, unknown format, no such split, no row, or no `prompt` column.
    """
    return [_part(each, split, count, seed, option) for each in split_names(name) or [name]]


def dataset_source(name: str, split: str, *, count: int = 0, seed: int = 0, option: str = "dataset") -> Dataset:
    """Return the rows of all parts, looked at by nobody; arguments and errors as those of `dataset_parts`.

    Raises:
        ValueError: parts with different columns.
    """
    return joined(dataset_parts(name, split, count=count, seed=seed, option=option))


def _part(name: str, split: str, count: int, seed: int, option: str) -> Part:
    label = f"{option}={name!r}"
    if name in TASKS:
        return Part(label, name, Dataset.from_dict(TASKS[name].training(count, seed)))
    data = read_table(name, split, option=option, expected=EXPECTED, known=[*TASKS])
    if "prompt" not in data.column_names:
        raise ValueError(
            f"{label} has columns {', '.join(data.column_names)}: expected one named 'prompt', which `bandpo data "
            "prepare` makes of 'problem' or 'question'"
        )
    return Part(label, name, data)
