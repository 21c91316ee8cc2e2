"""JSON objects that a user writes as the value of an option: no name twice, no nesting without end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def read_object(name: str, text: str) -> dict[str, Any]:
    """Return the JSON object in a text.

    Args:
        name: what errors call it, an option or a file.
        text: as it was typed.

    Raises:
        ValueError: not a JSON object, a key twice at any depth, or nested too deep.

    >>> from bandpo.engines.common.json_objects import read_object
    >>> read_object("method_kwargs", '{"max_ratio": 10}')
    {'max_ratio': 10}
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{name}={text!r}: not a JSON object, {reason}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name}={text!r}: expected a JSON object")
    return value


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in found if names.count(key) > 1)
        raise ValueError(f"{twice!r} a second time, expected it once")
    return found
