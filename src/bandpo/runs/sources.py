"""Where a run's model, data and rewards come from: an embedded task, local files or the Hub."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset, load_from_disk
from datasets.exceptions import DatasetNotFoundError

from bandpo.tasks import TASKS

_LOADERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def model_source(name: str) -> str:
    """Path or Hub id to load a model from; an embedded task's name is its warm-started policy.

    Raises:
        ValueError: it looks like a path, and no such folder exists.
    """
    if name in TASKS:
        return str(TASKS[name].policy_path())
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_local and not Path(name).expanduser().is_dir():
        raise ValueError(f"model={name!r}: no such folder; expected a folder, a Hub id or one of {', '.join(TASKS)}")
    return str(Path(name).expanduser()) if looks_local else name


def dataset_source(name: str, split: str, *, count: int, seed: int) -> Dataset:
    """A data set with a `prompt` column (text or chat messages) from an embedded task, a file, a folder or the Hub.

    Args:
        name: task name; path of .jsonl, .json, .parquet or .csv; folder of `save_to_disk`; or Hub id.
        split: split of a Hub data set or saved folder.
        count, seed: how many problems an embedded task makes, and from which seed.

    Raises:
        ValueError: not found, unknown format, no such split, or no `prompt` column.
    """
    if name in TASKS:
        return Dataset.from_dict(TASKS[name].training(count, seed))
    path = Path(name).expanduser()
    try:
        if path.is_file():
            if path.suffix not in _LOADERS:
                raise ValueError(f"dataset={name!r}: expected a file ending in {', '.join(_LOADERS)}")
            data = load_dataset(_LOADERS[path.suffix], data_files=str(path), split="train")
        elif path.is_dir() and ((path / "state.json").is_file() or (path / "dataset_dict.json").is_file()):
            loaded = load_from_disk(str(path))
            data = loaded if isinstance(loaded, Dataset) else loaded[split]
        else:
            data = load_dataset(name, split=split)
    except (DatasetNotFoundError, FileNotFoundError, ConnectionError) as error:
        tasks = ", ".join(TASKS)
        raise ValueError(f"dataset={name!r}: not found as a file, a folder, a Hub id or a task ({tasks})") from error
    except KeyError as error:
        raise ValueError(f"dataset_split={split!r}: {name} has no such split") from error
    if "prompt" not in data.column_names:
        raise ValueError(f"dataset={name!r} has columns {', '.join(data.column_names)}: expected one named 'prompt'")
    return data


def reward_source(dotted: str) -> Callable[..., Any]:
    """The reward function at a dotted path such as `my_package.rewards.exact`; the current folder is searched too.

    Raises:
        ValueError: no such module, or no function of that name in it.
    """
    module_name, _, name = dotted.rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"reward={dotted!r}: expected the dotted path of a function, {error}") from error
    if not callable(function):
        raise ValueError(f"reward={dotted!r} is a {type(function).__name__}: expected a function")
    return function
