"""Methods as users write them in a line: names between commas, options behind colons."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bandpo.core.methods.registry import get_method

_WORDS = {"true": True, "false": False, "none": None, "null": None}
_INTEGER = re.compile(r"[-+]?[0-9]+")


@dataclass(frozen=True)
class Spec:
    """A method with the hyperparameters it is run with; `label` is how the user wrote it."""

    label: str
    method: str
    hyperparameters: tuple[tuple[str, Any], ...] = ()

    @property
    def folder_name(self) -> str:
        """Return the name of the method's folder in a comparison."""
        return self.label.replace(":", ",")


def parse_specs(text: str, *, with_inputs: bool = False, option: str = "--methods") -> list[Spec]:
    """Read methods between commas, with hyperparameters behind colons.

    Args:
        text: what the user wrote.
        with_inputs: take the method's inputs that are numbers too, such as flex-entropy's progress.
        option: what errors call it.

    Raises:
        ValueError, TypeError: unknown method or hyperparameter, malformed option, the same method twice.

    >>> parse_specs("grpo,clip-higher:eps_high=0.6")[1].hyperparameters
    (('eps_high', 0.6),)
    """
    specs = []
    for label in filter(None, (part.strip() for part in text.split(","))):
        name, *options = label.split(":")
        method = get_method(name)
        pairs: list[tuple[str, Any]] = []
        for pair in options:
            key, separator, value = pair.partition("=")
            if not separator:
                raise ValueError(f"{option} {label}: expected METHOD:NAME=VALUE, such as clip-higher:eps_high=0.6")
            if key in dict(pairs):
                raise ValueError(f"{option} {label}: {key} twice, expected one value")
            pairs.append((key, _value(value, method.hyperparameters.get(key))))
        numbers = {name for name, needed in method.inputs.items() if with_inputs and needed.shape == ""}
        method.resolve({key: value for key, value in pairs if key not in numbers})
        specs.append(Spec(label, name, tuple(pairs)))
    if not specs or len({spec.label for spec in specs}) < len(specs):
        raise ValueError(f"{option} {text!r}: expected different methods between commas")
    return specs


def _value(text: str, default: Any = None) -> Any:
    """Return a number, true, false or null, or else a word; what is a word by default stays one, as in lower=none.

    >>> _value("1e-3"), _value("none"), _value("none", default="band")
    (0.001, None, 'none')
    """
    if isinstance(default, str):
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return int(text) if _INTEGER.fullmatch(text) else float(text)
    except ValueError:
        return text
