"""The methods and seeds of a comparison as a user writes them, and where each run is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bandpo.core.methods import get_method
from bandpo.runs.folder import RunFolder


@dataclass(frozen=True)
class Spec:
    """A method with the hyperparameters it is run with; `label` is how the user wrote it."""

    label: str
    method: str
    hyperparameters: tuple[tuple[str, Any], ...] = ()

    @property
    def folder_name(self) -> str:
        """Return the label as a name for a folder."""
        return self.label.replace(":", ",")


def parse_specs(text: str, *, with_inputs: bool = False) -> list[Spec]:
    """Return the methods between commas, with their hyperparameters behind colons.

    Args:
        text: what the user wrote.
        with_inputs: take the method's inputs that are numbers too, such as flex-entropy's progress.

    Raises:
        ValueError, TypeError: unknown method or hyperparameter, malformed option, the same method twice.

    >>> parse_specs("grpo,clip-higher:eps_high=0.6")[1].hyperparameters
    (('eps_high', 0.6),)
    """
    specs = []
    for label in filter(None, (part.strip() for part in text.split(","))):
        name, *options = label.split(":")
        pairs = []
        for option in options:
            key, separator, value = option.partition("=")
            if not separator:
                raise ValueError(f"--methods {label}: expected METHOD:NAME=VALUE, such as clip-higher:eps_high=0.6")
            pairs.append((key, _value(value)))
        method = get_method(name)
        numbers = {name for name, needed in method.inputs.items() if with_inputs and needed.shape == ""}
        method.resolve({key: value for key, value in pairs if key not in numbers})
        specs.append(Spec(label, name, tuple(pairs)))
    if not specs or len({spec.label for spec in specs}) < len(specs):
        raise ValueError(f"--methods {text!r}: expected different methods between commas")
    return specs


def _value(text: str) -> Any:
    """A number as JSON or YAML writes it (YAML alone takes 1e-3 for text), or a word."""
    try:
        return float(text) if "e" in text.lower() else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a count, a range or a list.

    Raises:
        ValueError: none of the three.

    >>> parse_seeds("3"), parse_seeds("100-102"), parse_seeds("7,9")
    ([0, 1, 2], [100, 101, 102], [7, 9])
    """
    try:
        if "," in text:
            seeds = [int(part) for part in text.split(",") if part.strip()]
        elif "-" in text:
            first, last = map(int, text.split("-"))
            seeds = list(range(first, last + 1))
        else:
            seeds = list(range(int(text)))
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {text!r}: expected a count (5), a range (100-109) or a list (1,2,5)")
    return seeds


def run_folder(out: Path, spec: Spec, seed: int) -> RunFolder:
    """Return where a method's run with this seed is in the folder of a comparison.

    >>> run_folder(Path("out"), Spec("grpo", "grpo"), 3).path.as_posix()
    'out/grpo/seed-3'
    """
    return RunFolder(out / spec.folder_name / f"seed-{seed}")
