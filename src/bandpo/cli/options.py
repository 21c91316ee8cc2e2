"""Options of `bandpo train`: a recipe, a YAML file over it, flags over both; each value of its option's own type."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandpo.cli.recipe_environment import read_environment
from bandpo.cli.yaml_file import plain, read_mapping
from bandpo.core.checks import suggestion

if TYPE_CHECKING:
    from trl import TrlParser  # pyright: ignore[reportPrivateImportUsage]

    from bandpo.engines.trl import BandGRPOConfig
    from bandpo.runs.training import RunArguments

_SOURCES = ("model", "dataset", "reward")
NO_RECIPE = "none"
# What the authors trained with: their band with its cap and dual clip, which the method's own defaults leave out.
PAPER = {"method": "band-kl", "band_delta": 0.05, "method_kwargs": {"max_ratio": 10.0, "dual_clip": 10.0}}


def recipes() -> dict[str, Path]:
    """Return the recipes that ship with the package, by name.

    >>> sorted(recipes())
    ['countdown', 'general', 'paper']
    """
    folder = Path(str(files("bandpo") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def parser() -> TrlParser:
    """Return TRL's parser over the options of a run and of the trainer."""
    from bandpo.cli.typed import parser

    return parser()


def parse_train(
    arguments: Sequence[str], tell: Callable[[str], None] | None = None
) -> tuple[RunArguments, BandGRPOConfig]:
    """Return the run and trainer configuration that these command-line arguments ask for.

    --config names a recipe, or a YAML file that is laid over the recipe which its line `recipe: NAME` names, or over
    nothing with `recipe: none`. Where no recipe is named it is `countdown`, or `general` when a model, data set or
    reward of one's own is. A list option given several times has all its values.
    --paper stands for the method, radius and two caps that the paper's authors trained with.
    Without --output_dir, it is a folder under runs/ named after method, data set and seed.

    Args:
        arguments: what stands behind `bandpo train`.
        tell: is called with a line for each thing that the user should know of how they were read.

    Raises:
        ValueError, TypeError: an unknown option, a value of the wrong type or out of range, no such recipe.
    """
    flags = read_flags(arguments)
    path = _config_path([text for spelling, texts in flags if spelling == "--config" for text in texts or [""]])
    file = None if path is None or path in recipes().values() else _read_file(path)
    if path is not None and file is not None:
        _set_environment(path, file.pop("env", None), tell)

    from bandpo.cli.typed import from_flags

    options = from_flags([flag for flag in flags if flag[0] not in ("--config", "--paper")])
    if any(spelling == "--paper" for spelling, _ in flags):
        options = _as_in_paper(options, [text for spelling, texts in flags if spelling == "--paper" for text in texts])
    base = path
    if path is not None and file is not None:
        named = file.pop("recipe", None)
        options = laid_over(_typed(path, file), options)
        base = _base(path, named, options)
        if tell is not None:
            tell(f"options: {path} over {'the defaults of TRL' if base is None else f'recipe {base.stem}'}")
    elif path is None:
        base = _usual_recipe(options)
    if base is not None:
        options = laid_over(_typed(base, _read_file(base)), options)
    return _built(_for_this_machine(_for_whole_groups(options)))


def read_flags(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return each flag with the texts behind it, `--name=text` and `--name text ...` alike.

    Raises:
        ValueError: a text that stands behind no flag.

    >>> read_flags(["--reward", "a.b", "c.d", "--beta=-1e-3", "--use-cpu"])
    [('--reward', ['a.b', 'c.d']), ('--beta', ['-1e-3']), ('--use-cpu', [])]
    """
    flags: list[tuple[str, list[str]]] = []
    for argument in arguments:
        spelling, has_text, text = argument.partition("=")
        if argument.startswith("--"):
            flags.append((spelling, [text] if has_text else []))
        elif flags:
            flags[-1][1].append(argument)
        else:
            raise ValueError(f"no option {argument!r}; `bandpo train --help-all` lists them")
    return flags


def _as_in_paper(options: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Return options with what --paper stands for."""
    if texts:
        raise ValueError(f"--paper {texts[0]}: expected no value")
    for name, value in PAPER.items():
        if options.get(name, value) != value:
            raise ValueError(f"--paper with --{name} {options[name]}: it sets {name}={value}, expected one of the two")
    return {**options, **PAPER}


def _config_path(names: Sequence[str]) -> Path | None:
    """Return the file that --config names, a recipe's or one's own; None where it is not given."""
    if not names:
        return None
    if len(set(names)) > 1:
        raise ValueError(f"--config {' and '.join(names)}: expected one file, whose line `recipe: NAME` names another")
    name = names[0]
    if not name:
        raise ValueError("--config: expected a file or a recipe's name")
    if name in recipes():
        return recipes()[name]
    if not Path(name).is_file():
        known = f"no recipe of that name ({', '.join(recipes())})"
        raise ValueError(f"--config {name}: no such file, and {known}{suggestion(name, recipes())}")
    return Path(name)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return read_mapping(path)
    except ValueError as error:
        raise ValueError(f"--config {path}: {error}") from None


def _set_environment(path: Path, raw: Any, tell: Callable[[str], None] | None) -> None:
    """Set the variables of a file's `env`, before the libraries that read them are imported."""
    if raw is None:
        return
    try:
        variables = read_environment(raw)
    except ValueError as error:
        raise ValueError(f"--config {path}: {error}") from None
    os.environ.update(variables)
    if tell is not None:
        for name, value in variables.items():
            tell(f"environment: {path} sets {name}={value}")


def _typed(path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's options, each of its own type."""
    from bandpo.cli.typed import from_yaml

    try:
        return {str(name): from_yaml(name, value) for name, value in raw.items()}
    except ValueError as error:
        raise ValueError(f"--config {path}: {error}") from None


def _base(path: Path, named: Any, options: Mapping[str, Any]) -> Path | None:
    """Return the recipe below a file: the one its line `recipe` names, or that of these options; None for none."""
    if named is None:
        return _usual_recipe(options)
    if named == NO_RECIPE:
        return None
    if not isinstance(named, str) or named not in recipes():
        expected = f"expected one of {', '.join([*recipes(), NO_RECIPE])}"
        raise ValueError(f"--config {path}: recipe={plain(named)!r}, {expected}")
    return recipes()[named]


def _usual_recipe(options: Mapping[str, Any]) -> Path:
    """Return the recipe of a run that names none: the task's, unless something of one's own is named."""
    from bandpo.tasks import POLICIES

    named = [options.get(name, []) for name in _SOURCES]
    texts = [text for value in named for text in (value if isinstance(value, list) else [value])]
    is_embedded = all(text in POLICIES or str(text).startswith("bandpo.tasks.") for text in texts)
    return recipes()["countdown" if is_embedded else "general"]


def laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return `upper` over `lower`, without hyperparameters below that are another method's or that `upper` replaces.

    >>> laid_over({"method": "band-kl", "band_delta": 0.05, "seed": 1}, {"method": "grpo"})
    {'seed': 1, 'method': 'grpo'}
    """
    kept = dict(lower)
    if "method" in lower and upper.get("method", lower["method"]) != lower["method"]:
        for name in ("method", "band_delta", "method_kwargs", "epsilon", "epsilon_high"):
            kept.pop(name, None)
    if "delta" in _mapping(upper.get("method_kwargs")):
        kept.pop("band_delta", None)
    if "band_delta" in upper and "method_kwargs" in kept:
        kept["method_kwargs"] = {n: v for n, v in _mapping(kept["method_kwargs"]).items() if n != "delta"} or None
    return {**kept, **upper}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _for_whole_groups(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, with rewards left as they are for a method that works on whole groups."""
    from bandpo.core.methods.registry import methods

    method = methods().get(str(options.get("method")))
    needs_groups = method is not None and "group_rewards" in method.inputs
    return {"scale_rewards": "none", **options} if needs_groups else options


def _for_this_machine(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, on the CPU in float32 where there is nothing else and nobody chose."""
    import torch

    on_cpu = {"use_cpu": True, "bf16": False}
    has_accelerator = torch.cuda.is_available() or torch.backends.mps.is_available() or torch.xpu.is_available()
    return options if has_accelerator or options.keys() & {*on_cpu, "fp16"} else {**options, **on_cpu}


def _built(options: dict[str, Any]) -> tuple[RunArguments, BandGRPOConfig]:
    """Return the two configurations of these options."""
    import dataclasses

    from bandpo.engines.trl import BandGRPOConfig
    from bandpo.runs.training import RunArguments

    names = {field.name for field in dataclasses.fields(RunArguments)}
    run = RunArguments(**{name: value for name, value in options.items() if name in names})
    trainer = {name: value for name, value in options.items() if name not in names}
    if trainer.get("output_dir") == "":
        raise ValueError("output_dir='': expected a folder")
    if trainer.get("output_dir") is None:
        method, seed = trainer.get("method", BandGRPOConfig.method), trainer.get("seed", BandGRPOConfig.seed)
        trainer["output_dir"] = _fresh_folder(method, run.dataset, seed)
    return run, BandGRPOConfig(**trainer)


def _fresh_folder(method: str, dataset: str, seed: int) -> str:
    """Return runs/METHOD-DATASET-seedN, with a number behind it where that run is already complete."""
    base = f"runs/{method}-{Path(dataset).stem}-seed{seed}"
    names = (base if i == 1 else f"{base}-{i}" for i in range(1, 10_000))
    return next(name for name in names if not (Path(name) / "result.json").is_file())
