"""Where a run's model, data and rewards come from: an embedded task, local files or the Hub."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bandpo.tasks import TASKS

_LOADERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def model_source(name: str) -> tuple[str, PreTrainedTokenizerBase]:
    """Path or Hub id to load a model from, and its tokenizer; an embedded task's name is its warm-started policy.

    Raises:
        ValueError: no such folder, or neither folder nor Hub has a tokenizer and configuration of that name.
    """
    path = Path(name).expanduser()
    source = str(TASKS[name].policy_path() if name in TASKS else path if path.is_dir() else name)
    if source == name and _looks_local(name) and not path.is_dir():
        raise ValueError(f"model={name!r}: no such folder; expected {_EXPECTED}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    except (OSError, ValueError, KeyError) as error:
        reason = "no model and tokenizer in this folder" if path.is_dir() else f"not loaded, {_first_line(error)}"
        raise ValueError(f"model={name!r}: {reason}; expected {_EXPECTED}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return source, tokenizer


def dataset_source(name: str, split: str, *, count: int = 0, seed: int = 0, option: str = "dataset") -> Dataset:
    """A data set with a `prompt` column (text or chat messages) from an embedded task, a file, a folder or the Hub.

    Args:
        name: task name; path of .jsonl, .json, .parquet or .csv; folder of `save_to_disk`; or Hub id.
        split: split of a Hub data set or saved folder.
        count, seed: how many problems an embedded task makes, and from which seed.
        option: what errors call the data set.

    Raises:
        ValueError: not found, unknown format, no such split, no row, or no `prompt` column.
    """
    if name in TASKS:
        return Dataset.from_dict(TASKS[name].training(count, seed))
    path = Path(name).expanduser()
    if path.is_file() and path.suffix not in _LOADERS:
        raise ValueError(f"{option}={name!r}: expected a file ending in {', '.join(_LOADERS)}")
    if not path.exists() and (_looks_local(name) or path.suffix in _LOADERS):
        raise ValueError(f"{option}={name!r}: no such file or folder; expected {_EXPECTED}")
    try:
        if path.is_file():
            data: Any = load_dataset(_LOADERS[path.suffix], data_files=str(path), split="train")
        elif (path / "state.json").is_file():
            data = load_from_disk(str(path))
        elif (path / "dataset_dict.json").is_file():
            data = load_from_disk(str(path))[split]
        else:
            data = load_dataset(str(path) if path.is_dir() else name, split=split)
    except StopIteration:
        raise ValueError(f"{option}={name!r} is empty: expected at least one row") from None
    except KeyError as error:
        raise ValueError(f"{option}={name!r} has no split {split!r}") from error
    except DatasetGenerationError as error:
        raise ValueError(f"{option}={name!r}: not read, {_first_line(error.__cause__ or error)}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{option}={name!r}: not loaded, {_first_line(error)}; expected {_EXPECTED}") from error
    if not len(data):
        raise ValueError(f"{option}={name!r} is empty: expected at least one row")
    if "prompt" not in data.column_names:
        raise ValueError(f"{option}={name!r} has columns {', '.join(data.column_names)}: expected one named 'prompt'")
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
        raise ValueError(f"reward={dotted!r}: {_first_line(error)}; expected a function's dotted path") from error
    if not callable(function):
        raise ValueError(f"reward={dotted!r} is a {type(function).__name__}: expected a function")
    return function


_EXPECTED = f"a local path, a Hub id or a task ({', '.join(TASKS)})"


def _looks_local(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
