"""Options as the doctor gets them: flat, dotted names as the engine's configuration nests them.

Without a leading + or --, and with underscores for hyphens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Options = Mapping[str, Any]


class WrittenOptions(dict[str, Any]):
    """Options as a user wrote them, and the names among them that hydra is told to add (`+name=value`).

    >>> options = WrittenOptions({"a": 1, "b": 2}, added=["b"])
    >>> options == {"a": 1, "b": 2}, options.added
    (True, frozenset({'b'}))
    """

    def __init__(self, options: Options, added: Iterable[str] = ()):
        super().__init__(options)
        self.added = frozenset(added)


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names.

    >>> flat({"actor": {"clip": {"low": 0.2}, "epochs": 1}})
    {'actor.clip.low': 0.2, 'actor.epochs': 1}
    """
    options: dict[str, Any] = {}
    for name, value in nested.items():
        is_group = isinstance(value, Mapping) and value
        options.update(flat(value, f"{prefix}{name}.") if is_group else {f"{prefix}{name}": value})
    return options


def prefixed(options: Options, prefix: str) -> dict[str, Any]:
    """Return the options under a dotted prefix, without it.

    >>> prefixed({"actor.optim.lr": 1, "actor.clip": 2, "critic.lr": 3}, "actor")
    {'optim.lr': 1, 'clip': 2}
    """
    return {name[len(prefix) + 1 :]: value for name, value in options.items() if name.startswith(f"{prefix}.")}


def number(options: Options, name: str, default: Any = None) -> Any:
    """Return the option as a number, `default` where it is not given or null; a string such as "1e-6" is read.

    Raises:
        ValueError: it is no number.

    >>> number({"lr": "1e-6"}, "lr"), number({}, "ppo_epochs", 1)
    (1e-06, 1)
    """
    value = options.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: expected a number")
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"{name}={value!r}: expected a number") from None


def count(options: Options, name: str, default: int | None = None) -> Any:
    """Return the option as a whole number of at least 1, `default` where it is not given or null.

    Raises:
        ValueError: it is anything else.

    >>> count({"epochs": "2"}, "epochs"), count({}, "epochs", 1)
    (2, 1)
    """
    value = number(options, name, default)
    if value is not None and not (1 <= value < math.inf and value == int(value)):
        raise ValueError(f"{name}={options.get(name)!r}: expected a whole number of at least 1")
    return None if value is None else int(value)


def method_options(options: Options, prefix: str) -> dict[str, Any]:
    """Return what stands under a dotted prefix, as the mapping that the adapter gets.

    >>> method_options({"a.bandpo.band_delta": 0.1, "a.bandpo.method_kwargs.max_ratio": 9}, "a.bandpo")
    {'band_delta': 0.1, 'method_kwargs': {'max_ratio': 9}}
    """
    outer = prefixed(options, prefix)
    inner = prefixed(outer, "method_kwargs")
    outer = {name: value for name, value in outer.items() if not name.startswith("method_kwargs.")}
    return {**outer, "method_kwargs": inner} if inner else outer
