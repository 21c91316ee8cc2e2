"""Options of `bandpo train`: a YAML recipe and flags, read by TRL's own parser; flags win."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import torch
import yaml
from trl import TrlParser  # pyright: ignore[reportPrivateImportUsage]

from bandpo.core.methods import methods
from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training import RunArguments
from bandpo.tasks import TASKS

_SOURCES = ("--model", "--dataset", "--reward")


def recipes() -> dict[str, Path]:
    """The recipes that ship with the package, by name.

    >>> sorted(recipes())
    ['countdown', 'general', 'paper']
    """
    folder = Path(str(files("bandpo") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


class _Parser(TrlParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parser() -> TrlParser:
    """TRL's parser over the options of a run and of the trainer."""
    return _Parser(
        (RunArguments, BandGRPOConfig),  # pyright: ignore[reportArgumentType]
        prog="bandpo train",
        usage="bandpo train [--config FILE] [--OPTION VALUE ...]",
        allow_abbrev=False,
        add_help=False,
    )


def parse_train(arguments: Sequence[str]) -> tuple[RunArguments, BandGRPOConfig]:
    """The run and trainer configuration that these command-line arguments ask for.

    Without --config, the recipe is `countdown`, or `general` when a model, data set or reward of one's own is named.
    Without --output_dir, it is a folder under runs/ named after method, data set and seed.

    Raises:
        ValueError, TypeError: an unknown option, a value of the wrong type or out of range, no such recipe.
    """
    flags = [part for a in arguments for part in (a.split("=", 1) if a.startswith("--") and "=" in a else [a])]
    path, flags = _take_recipe(flags)
    options = parser()
    recipe = _read_recipe(path)
    _check_recipe(path, recipe)
    options.set_defaults_with_config(**_for_this_machine(_for_this_method(recipe, flags), flags))
    namespace, unknown = options.parse_known_args(flags)
    if unknown:
        raise ValueError(f"no option {unknown[0]!r}{_suggestion(unknown[0], options._option_string_actions)}")
    if namespace.output_dir is None:
        flags += ["--output_dir", _fresh_folder(namespace.method, namespace.dataset, namespace.seed)]
    run, args = options.parse_args_into_dataclasses(flags, look_for_args_file=False)
    return run, args


def _take_recipe(flags: list[str]) -> tuple[Path, list[str]]:
    """The recipe's file, and the flags without --config."""
    if "--config" not in flags:
        named = [value for flag, value in pairwise(flags) if flag in _SOURCES]
        is_embedded = all(value in TASKS or value.startswith("bandpo.tasks.") for value in named)
        return recipes()["countdown" if is_embedded else "general"], list(flags)
    at = flags.index("--config")
    if at + 1 == len(flags):
        raise ValueError("--config: expected a file or a recipe's name")
    name, rest = flags[at + 1], flags[:at] + flags[at + 2 :]
    if name in recipes():
        return recipes()[name], rest
    if not Path(name).is_file():
        raise ValueError(f"--config {name}: no such file, and no recipe of that name ({', '.join(recipes())})")
    return Path(name), rest


def _read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's options; what stands under `env` is set in the environment."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path}: not YAML, {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: expected lines of the form 'option: value'")
    environment = content.pop("env", None) or {}
    if not isinstance(environment, dict):
        raise ValueError(f"--config {path}: env={environment!r}, expected names and values")
    os.environ.update({name: str(value) for name, value in environment.items()})
    return content


def _check_recipe(path: Path, recipe: Mapping[str, Any]) -> None:
    """Raise ValueError at an unknown option or a value that the same flag would not take."""
    options = parser()
    actions = {action.dest: action for action in options._actions}
    for name, value in recipe.items():
        if name not in actions:
            raise ValueError(f"--config {path}: no option {name!r}{_suggestion(str(name), actions)}")
        values = value if isinstance(value, list) else [value]
        takes_list = actions[name].nargs == "+"
        if value is None or isinstance(value, dict) or (isinstance(value, list) and actions[name].type is str):
            continue
        if len(values) != 1 and not takes_list:
            raise ValueError(f"--config {path}: {name}={value!r}, expected one value")
        try:
            options.parse_known_args([f"--{name}", *map(str, values)])
        except ValueError as error:
            raise ValueError(f"--config {path}: {error}") from None


def _for_this_method(recipe: Mapping[str, Any], flags: Sequence[str]) -> dict[str, Any]:
    """The recipe without hyperparameters of its method that the flags replace, or all where they name another one.

    A method that works on whole groups of rewards gets them as they are, unless the recipe says otherwise.
    """
    given = {flag.lstrip("-").replace("-", "_"): value for flag, value in pairwise(flags) if flag.startswith("--")}
    dropped = set()
    if "method" in recipe and given.get("method", recipe["method"]) != recipe["method"]:
        dropped = {"band_delta", "method_kwargs", "epsilon", "epsilon_high"}
    elif '"delta"' in given.get("method_kwargs", ""):
        dropped = {"band_delta"}
    kept = {name: value for name, value in recipe.items() if name not in dropped}
    if "band_delta" in given and isinstance(kept.get("method_kwargs"), dict):
        kept["method_kwargs"] = {name: v for name, v in kept["method_kwargs"].items() if name != "delta"}
    method = methods().get(str(given.get("method", kept.get("method"))))
    if method is not None and "group_rewards" in method.inputs:
        kept.setdefault("scale_rewards", "none")
    return kept


def _for_this_machine(recipe: Mapping[str, Any], flags: Sequence[str]) -> dict[str, Any]:
    """The recipe, on the CPU in float32 where there is nothing else and nobody chose."""
    chosen = {*recipe, *(flag.lstrip("-").replace("-", "_") for flag in flags)}
    on_cpu = {"use_cpu": True, "bf16": False}
    has_accelerator = torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available()
    return {**recipe} if has_accelerator or chosen & {*on_cpu, "fp16"} else {**recipe, **on_cpu}


def _suggestion(wrong: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(wrong, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "; `bandpo train --help-all` lists them"


def _fresh_folder(method: str, dataset: str, seed: int) -> str:
    """runs/METHOD-DATASET-seedN, with a number behind it where that run is already complete."""
    base = f"runs/{method}-{Path(dataset).stem}-seed{seed}"
    names = (base if i == 1 else f"{base}-{i}" for i in range(1, 10_000))
    return next(name for name in names if not (Path(name) / "result.json").is_file())
