"""What a run was asked for and where it ran, as rows of names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bandpo.views.report.run import Run
from bandpo.views.report.text import line

_MOST, _LONGEST, _DEEPEST = 200, 600, 8


def setting_rows(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return options that are set, as people write them.

    >>> setting_rows({"method": "band-kl", "delta": 0.05, "dataset": ["a", "b"], "eval_dataset": None})
    [('method', 'band-kl'), ('delta', '0.05'), ('dataset', 'a, b')]
    """
    rows = [(line(name), written(value)) for name, value in values.items() if value is not None]
    more = len(rows) - _MOST
    return [*rows[:_MOST], *([("…", f"{more:,} more")] if more > 0 else [])]


def environment_rows(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return machine and package versions, packages one a row."""
    packages = environment.get("packages")
    plain = {name: value for name, value in environment.items() if name != "packages"}
    return setting_rows({**plain, **(packages if isinstance(packages, Mapping) else {})})


def differing(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Return the options in which runs differ, with the value of each."""
    names = dict.fromkeys(name for run in runs for name in run.config)
    rows = [(line(name), [written(run.config.get(name)) for run in runs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1][:_MOST]


def written(value: Any) -> str:
    """Return an option's value as people write it; of a large or deep one only the beginning is looked at.

    >>> written(None), written(True), written([1, 2]), written({"a": [1, None]})
    ('–', 'true', '1, 2', 'a: [1, –]')
    """
    text = ""
    for part in _parts(value, 0):
        text += part
        if len(text) > _LONGEST:
            return line(text[:_LONGEST], _LONGEST) + "…"
    return line(text, _LONGEST)


def _parts(value: Any, depth: int) -> Iterator[str]:
    if value is None or isinstance(value, bool):
        yield "–" if value is None else str(value).lower()
    elif not isinstance(value, list | Mapping):
        yield str(value)
    elif depth > _DEEPEST:
        yield "…"
    else:
        marks = ("", "") if depth == 0 else ("{", "}") if isinstance(value, Mapping) else ("[", "]")
        yield marks[0]
        for at, entry in enumerate(value):
            yield ", " if at else ""
            if isinstance(value, Mapping):
                yield f"{entry}: "
            yield from _parts(value[entry] if isinstance(value, Mapping) else entry, depth + 1)
        yield marks[1]
