"""Where a model and rewards come from: an embedded task, local files or the Hub."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bandpo.core.checks import suggestion
from bandpo.data.reading import first_line, looks_local
from bandpo.store.reward_calls import RewardError
from bandpo.tasks import POLICIES

# What a source may be, as errors say it.
EXPECTED = f"a local path, a Hub id or a task ({', '.join(POLICIES)})"


def model_source(name: str, revision: str | None = None) -> tuple[str, PreTrainedTokenizerBase]:
    """Return the path or Hub id to load a model from, and its tokenizer.

    An embedded task's name is its first warm-started policy.

    Args:
        name: embedded task, folder or Hub id.
        revision: of a model on the Hub, its newest if None.

    Raises:
        ValueError: no such folder, neither folder nor Hub has a tokenizer and configuration of that name, or a revision
            of what is not on the Hub.
    """
    path = Path(name).expanduser()
    # os.path answers for names too long for a file system, pathlib raises.
    is_folder = os.path.isdir(path)
    source = str(POLICIES.get(name, path if is_folder else name))
    label = f"model={name!r}" if revision is None else f"model={name!r}, revision={revision!r}"
    if revision is not None and (name in POLICIES or is_folder):
        raise ValueError(f"{label}: {name} is {'a folder' if is_folder else 'an embedded task'}, expected a Hub id")
    if source == name and looks_local(name) and not is_folder:
        raise ValueError(f"{label}: no such folder; expected {EXPECTED}")
    if source == name and not os.path.exists(path) and "/" not in name and (near := suggestion(name, POLICIES)):
        raise ValueError(f"{label}: no such folder or task{near}; expected {EXPECTED}")
    version = {} if revision is None else {"revision": revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", **version)
    except (OSError, ValueError, KeyError) as error:
        reason = "no model and tokenizer in this folder" if is_folder else f"not loaded, {first_line(error)}"
        raise ValueError(f"{label}: {reason}; expected {EXPECTED}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return source, tokenizer


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
