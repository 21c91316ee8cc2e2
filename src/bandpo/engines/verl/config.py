"""verl's configuration where it is installed, composed by hydra as `main_ppo` does, and the names that it lacks."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandpo.engines.common.findings import Finding
from bandpo.engines.common.names import did_you_mean
from bandpo.engines.common.options import Options, flat

MAIN = "ppo_trainer"


def folder(package: str = "verl") -> Path | None:
    """Return where verl's YAML files are, None where it is not installed in this Python; nothing is imported."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        config = Path(place, "trainer", "config")
        if (config / f"{MAIN}.yaml").is_file():
            return config
    return None


def composed(options: Options) -> dict[str, Any] | None:
    """Return verl's defaults for these options, nested, as `main_ppo` composes them; None where verl is not installed.

    `config_name` and groups such as `model_engine=megatron` are taken from the options, single settings are not.

    Raises:
        ValueError: hydra refuses the groups.
    """
    place = folder()
    if place is None or importlib.util.find_spec("hydra") is None:
        return None
    from hydra import compose, initialize_config_dir  # pyright: ignore[reportMissingImports]
    from hydra.core.global_hydra import GlobalHydra  # pyright: ignore[reportMissingImports]
    from hydra.errors import HydraException  # pyright: ignore[reportMissingImports]
    from omegaconf import OmegaConf  # pyright: ignore[reportMissingImports]

    name = str(options.get("config_name", MAIN)).removesuffix(".yaml")
    groups = [f"{one}={value}" for one, value in options.items() if _chooses_a_file(one)]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(place), version_base=None):
            config = compose(name, overrides=groups)
    except HydraException as error:
        raise ValueError(f"verl's configuration cannot be composed: {' '.join(str(error).split())}") from None
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=False)  # pyright: ignore[reportReturnType]


def _chooses_a_file(name: str) -> bool:
    """Return whether an option chooses one of verl's YAML files, such as `model_engine` or `actor@...`."""
    group, place = name.partition("@")[0], folder()
    return "." not in group and place is not None and place.joinpath(*group.split("/")).is_dir()


def unknown_findings(options: Options, config: Mapping[str, Any]) -> list[Finding]:
    """Return a failure for every option that has no place in verl's configuration.

    A section with a `_target_` takes the fields of that class and nothing else, even with a +. Elsewhere a + adds
    whatever it names, for Ray or for code of the user's: a line says that it was not checked.

    Args:
        options: given names and values; if they have an attribute `added`, these are the names given with a +.
        config: from `composed`.
    """
    findings = []
    for name, value in options.items():
        if name in ("config_name", "config_path") or name.startswith("hydra.") or _chooses_a_file(name):
            continue
        unknown = _first_unknown(name, options, config)
        if unknown is not None:
            findings.append(_finding(name, value, unknown, options, config))
    return findings


@dataclasses.dataclass(frozen=True)
class _Unknown:
    """The first part of a name that its section lacks: its path, and what the section takes if that is all."""

    path: str
    siblings: list[str]
    is_complete: bool


def _first_unknown(name: str, options: Options, config: Mapping[str, Any]) -> _Unknown | None:
    node: Any = config
    parts = name.split(".")
    for depth, part in enumerate(parts):
        path = ".".join(parts[:depth])
        node = {str(one).replace("-", "_"): value for one, value in node.items()}
        target = options.get(f"{path}._target_", node.get("_target_"))
        fields = _fields(str(target)) if target else None
        if part not in {*node, *(fields or ()), "_target_"}:
            siblings = [f"{path}.{one}".lstrip(".") for one in (*node, *(fields or ()))]
            return _Unknown(".".join(parts[: depth + 1]), siblings, fields is not None)
        node = node.get(part)
        if not isinstance(node, Mapping) or not node:
            return None
    return None


def _fields(target: str) -> list[str] | None:
    """Return the fields of a dataclass by its dotted name, None where it is none or cannot be imported."""
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except Exception:
        return None
    return [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else None


def _finding(name: str, value: Any, unknown: _Unknown, options: Options, config: Mapping[str, Any]) -> Finding:
    meant = did_you_mean(name, flat(config)) or did_you_mean(unknown.path, unknown.siblings)
    text = f"{name}={value!r}: verl's configuration has no {unknown.path}"
    added = getattr(options, "added", None)
    if meant:
        return Finding("fail", text, f"did you mean {meant}?")
    if unknown.is_complete or (added is not None and name not in added):
        return Finding("fail", text, "leave it out: verl refuses it")
    if added is None:
        return Finding("warn", text, "verl takes it with a leading + only")
    return Finding("ok", f"+{name}: not checked, verl's configuration does not know it")
