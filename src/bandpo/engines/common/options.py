"""Options as the doctor gets them: flat, dotted names as the engine's configuration nests them.

Without a leading + or --, and with underscores for hyphens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Options = Mapping[str, Any]


class Given(dict[str, Any]):
    """Options as a user wrote them, and the names among them that hydra is told to add (`+name=value`).

    >>> given = Given({"a": 1, "b": 2}, added=["b"])
    >>> given == {"a": 1, "b": 2}, given.added
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
    """Options under a dotted prefix, without it.

    >>> prefixed({"actor.optim.lr": 1, "actor.clip": 2, "critic.lr": 3}, "actor")
    {'optim.lr': 1, 'clip': 2}
    """
    return {name[len(prefix) + 1 :]: value for name, value in options.items() if name.startswith(f"{prefix}.")}


def number(options: Options, name: str, default: Any = None) -> Any:
    """The option as a number, `default` where it is not given or null; a string such as "1e-6" is read.

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


def choice(options: Options, prefix: str) -> dict[str, Any]:
    """What `bandpo doctor` was given under a dotted prefix, as the dict the adapter gets.

    >>> choice({"a.bandpo.band_delta": 0.1, "a.bandpo.method_kwargs.max_ratio": 9}, "a.bandpo")
    {'band_delta': 0.1, 'method_kwargs': {'max_ratio': 9}}
    """
    found = prefixed(options, prefix)
    inner = prefixed(found, "method_kwargs")
    outer = {name: value for name, value in found.items() if not name.startswith("method_kwargs.")}
    return {**outer, "method_kwargs": inner} if inner else outer
