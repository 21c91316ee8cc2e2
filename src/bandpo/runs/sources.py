"""Where a run's model, data and rewards come from: an embedded task, local files or the Hub."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bandpo.core.checks import suggestion
from bandpo.data.reading import first_line, looks_local, read_table, split_names
from bandpo.evals.reward_calls import RewardError
from bandpo.runs.rows import Part, joined
from bandpo.tasks import TASKS


def model_source(name: str) -> tuple[str, PreTrainedTokenizerBase]:
    """Return the path or Hub id to load a model from, and its tokenizer.

    An embedded task's name is its warm-started policy.

    Raises:
        ValueError: no such folder, or neither folder nor Hub has a tokenizer and configuration of that name.
    """
    path = Path(name).expanduser()
    # os.path answers for names too long for a file system, pathlib raises.
    is_folder = os.path.isdir(path)
    source = str(TASKS[name].policy_path() if name in TASKS else path if is_folder else name)
    if source == name and looks_local(name) and not is_folder:
        raise ValueError(f"model={name!r}: no such folder; expected {_EXPECTED}")
    if source == name and not os.path.exists(path) and "/" not in name and (near := suggestion(name, TASKS)):
        raise ValueError(f"model={name!r}: no such folder or task{near}; expected {_EXPECTED}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    except (OSError, ValueError, KeyError) as error:
        reason = "no model and tokenizer in this folder" if is_folder else f"not loaded, {first_line(error)}"
        raise ValueError(f"model={name!r}: {reason}; expected {_EXPECTED}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return source, tokenizer


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
    data = read_table(name, split, option=option, expected=_EXPECTED, known=[*TASKS])
    if "prompt" not in data.column_names:
        raise ValueError(
            f"{label} has columns {', '.join(data.column_names)}: expected one named 'prompt', which `bandpo data "
            "prepare` makes of 'problem' or 'question'"
        )
    return Part(label, name, data)


def reward_source(dotted: str) -> Callable[..., Any]:
    """Return the reward function at a dotted path such as `my_package.rewards.exact`.

    The current folder is searched too.

    Raises:
        ValueError: no such module, or no function of that name in it.
        RewardError: its module ends the program, or reads from a terminal, when it is imported.
    """
    module_name, _, name = dotted.rpartition(".")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"reward={dotted!r}: {first_line(error)}; expected a function's dotted path") from error
    except (SystemExit, EOFError) as error:
        raise RewardError(
            f"reward={dotted!r}: importing {module_name} raised {type(error).__name__}({error})"
        ) from error
    if not callable(function):
        raise ValueError(f"reward={dotted!r} is a {type(function).__name__}: expected a function")
    return function


_EXPECTED = f"a local path, a Hub id or a task ({', '.join(TASKS)})"
