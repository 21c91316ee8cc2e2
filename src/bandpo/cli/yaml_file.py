"""A YAML file as its author wrote it: mappings, lists and texts, which become values by the option they are for.

YAML 1.1 turns `no` into False, `012` into 10, `12:30` into 750, and leaves `1e-7` a text; so no text is turned into
anything here. `untyped` reads one as YAML 1.2 does, where nothing says what it is to be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_LARGEST_FILE, _MOST_NODES, _DEEPEST = 200_000, 10_000, 20
_NULL = ("", "~", "null", "Null", "NULL")
# YAML 1.2's, and the words that the loaders of other trainers take for them.
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9][0-9_]*")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")


class Word(str):
    """A scalar that stands in the file without quotes."""

    def is_null(self) -> bool:
        """Return whether the word says that there is no value."""
        return self in _NULL


def read_mapping(path: Path) -> dict[str, Any]:
    """Read the names and values of a YAML file; scalars are `Word` without quotes and `str` with them.

    Raises:
        ValueError: not YAML, no mapping, a tag, a name twice; too large, too deep, or an alias that multiplies.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"more than {_LARGEST_FILE:,} bytes, expected a short file of options")
    try:
        text = path.read_text(encoding="utf-8")
        _check_events(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"not YAML, {' '.join(str(error).split())}") from None
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("expected lines of the form 'option: value'")
    return _Reader().mapping(node, depth=0)


def check_yaml(text: str) -> None:
    """Raise ValueError where a YAML text has a name twice, a tag, or nests or multiplies without end.

    >>> check_yaml("a: 1")
    """
    _check_events(text)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is not None:
        _Reader().value(node, depth=0)


def _check_events(text: str) -> None:
    """Raise ValueError where the text nests too deep or has a tag, before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ValueError(f"line {event.start_mark.line + 1} nests more than {_DEEPEST} deep")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise ValueError(f"line {event.start_mark.line + 1} has the tag {tag!r}, expected none")


class _Reader:
    """Plain values from YAML's nodes, so many at most: an alias counts each time it is used."""

    def __init__(self):
        self.nodes = 0

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for part in reversed(parts):
                    merged |= _as_mapping(self.value(part, depth + 1), part)
                continue
            name = self.value(key, depth + 1)
            if not isinstance(name, str):
                raise ValueError(f"line {key.start_mark.line + 1}: expected a name before the colon")
            if name in found:
                raise ValueError(f"line {key.start_mark.line + 1}: {str(name)!r} a second time, expected it once")
            found[name] = self.value(value, depth + 1)
        return {**merged, **found}

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.nodes += 1
        if depth > _DEEPEST or self.nodes > _MOST_NODES:
            limit = f"{_DEEPEST} levels" if depth > _DEEPEST else f"{_MOST_NODES:,} values"
            raise ValueError(f"line {node.start_mark.line + 1}: more than {limit}, counting what aliases repeat")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, depth + 1) for child in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return node.value if node.style in ("'", '"', "|", ">") else Word(node.value)


def _as_mapping(value: Any, node: yaml.Node) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"line {node.start_mark.line + 1}: expected << to name a mapping")
    return value


def untyped(raw: Any) -> Any:
    """Return a value read by its own form: YAML 1.2's numbers, also 1e-7 and 1_000, true and yes, null; else text.

    Raises:
        ValueError: a whole number of thousands of digits.

    >>> untyped({"min_lr": Word("1e-7"), "name": "1e-7", "reentrant": Word("no"), "start": Word("2026-01-02")})
    {'min_lr': 1e-07, 'name': '1e-7', 'reentrant': False, 'start': '2026-01-02'}
    """
    if isinstance(raw, Mapping):
        return {str(name): untyped(value) for name, value in raw.items()}
    if isinstance(raw, list):
        return [untyped(value) for value in raw]
    if not isinstance(raw, Word):
        return raw
    if raw.is_null():
        return None
    if raw.lower() in _BOOLEANS and raw in (raw.lower(), raw.upper(), raw.capitalize()):
        return _BOOLEANS[raw.lower()]
    if _INTEGER.fullmatch(raw):
        return int(raw.replace("_", ""))
    if _BASED.fullmatch(raw):
        return int(raw, 0)
    if _FLOAT.fullmatch(raw):
        return float(raw.replace("_", ""))
    return float(raw.replace(".", "", 1)) if _INFINITE.fullmatch(raw) else str(raw)


def plain(raw: Any) -> Any:
    """Return a value as an error shows it: numbers as numbers, all else as the text that stands in the file."""
    if isinstance(raw, Mapping):
        return {plain(name): plain(value) for name, value in raw.items()}
    if isinstance(raw, list):
        return [plain(value) for value in raw]
    value = untyped(raw)
    return str(raw) if value is None or isinstance(value, bool) else value
