"""Values by the type of the option they are for, from a flag's texts or from YAML, in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from trl import TrlParser  # pyright: ignore[reportPrivateImportUsage]

from bandpo.cli.yaml_file import Word, plain, untyped
from bandpo.core.checks import suggestion
from bandpo.engines.common.json_objects import read_object
from bandpo.engines.trl import BandGRPOConfig
from bandpo.runs.training import RunArguments

_DEEPEST = 20
_SWITCHES = {"on": "true", "off": "false"}


class _Parser(TrlParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def parser() -> TrlParser:
    """Return TRL's parser over the options of a run and of the trainer."""
    return _Parser(
        (RunArguments, BandGRPOConfig),  # pyright: ignore[reportArgumentType]
        prog="bandpo train",
        usage="bandpo train [--config FILE] [--OPTION VALUE ...]",
        allow_abbrev=False,
        add_help=False,
    )


@lru_cache(1)
def _parser() -> TrlParser:
    return parser()


@lru_cache(1)
def _kinds() -> dict[str, tuple[type, ...]]:
    """Return the types that each option may have, of `list[str] | None` for instance list and NoneType."""
    hints = {**get_type_hints(RunArguments), **get_type_hints(BandGRPOConfig)}
    return {name: _members(hint) for name, hint in hints.items()}


def _members(hint: Any) -> tuple[type, ...]:
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for member in get_args(hint) for kind in _members(member))
    return (get_origin(hint) or hint,)


def option_of(spelling: str) -> str:
    """Return the name of the option with this spelling of its flag.

    Raises:
        ValueError: there is none.

    >>> option_of("--learning-rate"), option_of("--no_shuffle_dataset")
    ('learning_rate', 'shuffle_dataset')
    """
    actions = _parser()._option_string_actions
    if spelling not in actions:
        raise ValueError(
            f"no option {spelling!r}{suggestion(spelling, actions, '`bandpo train --help-all` lists them')}"
        )
    return actions[spelling].dest


def from_flags(flags: Sequence[tuple[str, list[str]]]) -> dict[str, Any]:
    """Return the options that flags give, by name; a list option that is given again grows.

    Args:
        flags: each spelling with the texts behind it, in order.

    Raises:
        ValueError: an unknown option, a text that is no value of its option, or two values where one is expected.

    >>> from_flags([("--max-steps", ["7"]), ("--reward", ["a.b"]), ("--reward", ["c.d"])])
    {'max_steps': 7, 'reward': ['a.b', 'c.d']}
    """
    options: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for spelling, texts in flags:
        name = option_of(spelling)
        value, origin = _of_flag(name, spelling, texts), " ".join([spelling, *texts])
        if name in options and _takes_list(name):
            value = [*_as_list(options[name]), *_as_list(value)]
        elif name in options and options[name] != value:
            raise ValueError(f"{origins[name]} and {origin}: expected one value")
        options[name], origins[name] = value, origin
    return options


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _of_flag(name: str, spelling: str, texts: Sequence[str]) -> Any:
    if not texts:
        return getattr(_parser().parse_known_args([spelling])[0], name)
    if _takes_list(name) and (len(texts) > 1 or str not in _kinds()[name]):
        return [_single(name, text) for text in texts]
    if len(texts) > 1:
        raise ValueError(f"{spelling} {' '.join(texts)}: expected one value")
    return _single(name, texts[0], spelling)


def from_yaml(name: str, raw: Any) -> Any:
    """Return the value of an option from what a YAML file has for it.

    Raises:
        ValueError: no such option, or no value of its type.

    >>> from_yaml("save_strategy", Word("no")), from_yaml("reward_weights", Word("0.5")), from_yaml("seed", Word("012"))
    ('no', [0.5], 12)
    """
    kinds = _kinds().get(name, ())
    if not any(action.dest == name for action in _parser()._actions):
        names = [action.dest for action in _parser()._actions]
        raise ValueError(f"no option {plain(name)!r}{suggestion(name, names, '`bandpo train --help-all` lists them')}")
    if isinstance(raw, Word) and raw.is_null():
        if type(None) not in kinds and _parser().get_default(name) is not None:
            raise ValueError(f"{name}: null, expected a value")
        return None
    if isinstance(raw, Mapping):
        if dict not in kinds:
            raise ValueError(f"{name}={plain(raw)!r}, expected one value")
        return _checked(name, untyped(raw))
    if isinstance(raw, list):
        if not _takes_list(name):
            raise ValueError(f"{name}={plain(raw)!r}, expected one value")
        if not all(isinstance(value, str) for value in raw):
            raise ValueError(f"{name}={plain(raw)!r}, expected texts or numbers in the list")
        return [_single(name, value) for value in raw]
    value = _single(name, raw)
    return [value] if _takes_list(name) and str not in kinds else value


def _takes_list(name: str) -> bool:
    return list in _kinds()[name]


def _single(name: str, text: str, spelling: str | None = None) -> Any:
    """Return one text as a value, or element, of an option."""
    kinds = _kinds()[name]
    text = str(text)
    if dict in kinds and text.lstrip().startswith("{"):
        return _checked(name, read_object(name, text))
    if dict in kinds and list not in kinds and text.lstrip().startswith("["):
        raise ValueError(f"{name}={text!r}: expected a dict or a JSON object")
    if bool in kinds and str not in kinds:
        text = _SWITCHES.get(text.lower(), text)
    value = getattr(_parser().parse_known_args([f"{spelling or f'--{name}'}={text}"])[0], name)
    if isinstance(value, list) and _takes_list(name):
        (value,) = value
    return _checked(name, value)


def _checked(name: str, value: Any, depth: int = 0) -> Any:
    """Return the value, if it has no NaN and does not nest without end; raise ValueError where not."""
    if depth > _DEEPEST:
        raise ValueError(f"{name}: more than {_DEEPEST} levels, expected fewer")
    if isinstance(value, float) and math.isnan(value):
        raise ValueError(f"{name}: nan, expected a number")
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        _checked(f"{name}[{key!r}]", part, depth + 1)
    return value
