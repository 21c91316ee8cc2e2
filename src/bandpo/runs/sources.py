"""Where a run's model, data and rewards come from: an embedded task, local files or the Hub."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bandpo.core.checks import suggestion
from bandpo.data.reading import first_line, looks_local, read_table
from bandpo.tasks import TASKS


def model_source(name: str) -> tuple[str, PreTrainedTokenizerBase]:
    """Path or Hub id to load a model from, and its tokenizer; an embedded task's name is its warm-started policy.

    Raises:
        ValueError: no such folder, or neither folder nor Hub has a tokenizer and configuration of that name.
    """
    path = Path(name).expanduser()
    source = str(TASKS[name].policy_path() if name in TASKS else path if path.is_dir() else name)
    if source == name and looks_local(name) and not path.is_dir():
        raise ValueError(f"model={name!r}: no such folder; expected {_EXPECTED}")
    if source == name and not path.exists() and "/" not in name and (near := suggestion(name, TASKS)):
        raise ValueError(f"model={name!r}: no such folder or task{near}; expected {_EXPECTED}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    except (OSError, ValueError, KeyError) as error:
        reason = "no model and tokenizer in this folder" if path.is_dir() else f"not loaded, {first_line(error)}"
        raise ValueError(f"model={name!r}: {reason}; expected {_EXPECTED}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return source, tokenizer


def dataset_source(name: str, split: str, *, count: int = 0, seed: int = 0, option: str = "dataset") -> Dataset:
    """A data set with a `prompt` column (text or chat messages) from an embedded task, a file, a folder or the Hub.

    Args:
        name: task name; path of .jsonl, .json, .parquet or .csv; folder of `save_to_disk`; or Hub id. Several with
            commas between are put one after another.
        split: split of a Hub data set or saved folder.
        count, seed: how many problems an embedded task makes, and from which seed.
        option: what errors call the data set.

    Raises:
        ValueError: not found, unknown format, no such split, no row, no `prompt` column, or several with different
            columns.
    """
    if "," in name:
        parts = [dataset_source(part.strip(), split, count=count, seed=seed, option=option) for part in name.split(",")]
        for part in parts[1:]:
            if part.features != parts[0].features:
                columns = ", ".join(part.column_names)
                raise ValueError(
                    f"{option}={name!r}: columns differ, expected {list(parts[0].features)}, got {columns}"
                )
        return concatenate_datasets(parts)
    if name in TASKS:
        return Dataset.from_dict(TASKS[name].training(count, seed))
    data = read_table(name, split, option=option, expected=_EXPECTED, known=[*TASKS])
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
        raise ValueError(f"reward={dotted!r}: {first_line(error)}; expected a function's dotted path") from error
    if not callable(function):
        raise ValueError(f"reward={dotted!r} is a {type(function).__name__}: expected a function")
    return function


_EXPECTED = f"a local path, a Hub id or a task ({', '.join(TASKS)})"
