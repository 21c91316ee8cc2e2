"""Options of `bandpo train`: a YAML recipe and flags, read by TRL's own parser; flags win."""

from __future__ import annotations

import difflib
import warnings
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

import yaml
from trl import TrlParser

from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training import RunArguments

_SOURCES = ("--model", "--dataset", "--reward")


def recipes() -> dict[str, Path]:
    """The recipes that ship with the package, by name.

    >>> sorted(recipes())
    ['countdown', 'general']
    """
    folder = Path(str(files("bandpo") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


class _Parser(TrlParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parser() -> TrlParser:
    """TRL's parser over the options of a run and of the trainer."""
    return _Parser((RunArguments, BandGRPOConfig), prog="bandpo train", allow_abbrev=False)


def parse_train(arguments: list[str]) -> tuple[RunArguments, BandGRPOConfig]:
    """The run and trainer configuration that these command-line arguments ask for.

    Without --config, the recipe is `countdown`, or `general` when a model, data set or reward of one's own is named.

    Raises:
        ValueError, TypeError: an unknown option, a value of the wrong type or out of range, no such recipe.
    """
    arguments = [part for a in arguments for part in (a.split("=", 1) if a.startswith("--") and "=" in a else [a])]
    if "--config" not in arguments:
        own = any(a in _SOURCES for a in arguments)
        arguments = ["--config", "general" if own else "countdown", *arguments]
    at = arguments.index("--config") + 1
    if at == len(arguments):
        raise ValueError("--config: expected a file or a recipe's name")
    arguments[at] = str(_recipe(arguments[at]))
    options = parser()
    known = {option for action in options._actions for option in action.option_strings}
    for argument in arguments:
        if argument.startswith("--") and argument != "--config" and argument not in known:
            raise ValueError(f"no option {argument!r}{_suggestion(argument, known)}")
    _check_recipe(Path(arguments[at]), {option.lstrip("-") for option in known})
    with warnings.catch_warnings():
        # Recipes name the option that every supported transformers has, not its newest spelling.
        warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
        if "--output_dir" not in arguments and "--output-dir" not in arguments:
            run, args = options.parse_args_and_config(list(arguments))
            arguments = [*arguments, "--output_dir", _fresh_folder(run, args)]
        run, args = parser().parse_args_and_config(arguments)
    return run, args


def _recipe(name: str) -> Path:
    if name in recipes():
        return recipes()[name]
    if not Path(name).is_file():
        raise ValueError(f"--config {name}: no such file, and no recipe of that name ({', '.join(recipes())})")
    return Path(name)


def _check_recipe(path: Path, known: set[str]) -> None:
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"--config {path}: not YAML, {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: expected lines of the form 'option: value'")
    for key in content:
        if key not in known and key != "env":
            raise ValueError(f"--config {path}: no option {key!r}{_suggestion(key, known)}")


def _suggestion(wrong: str, known: set[str]) -> str:
    close = difflib.get_close_matches(wrong, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "; `bandpo train --help-all` lists them"


def _fresh_folder(run: RunArguments, args: BandGRPOConfig) -> str:
    """runs/METHOD-DATASET-seedN, with a number behind it where that run is already complete."""
    base = f"runs/{args.method}-{Path(run.dataset).stem}-seed{args.seed}"
    names = (base if i == 1 else f"{base}-{i}" for i in range(1, 10_000))
    return next(name for name in names if not (Path(name) / "result.json").is_file())
