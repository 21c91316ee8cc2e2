"""A comparison's folder as a report reads it: results.json, or the runs themselves where it is not there yet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandpo.store.records import parse_object
from bandpo.views.report.history import thinned
from bandpo.views.report.intervals import student
from bandpo.views.report.run import NO_SCORES, Evaluation, evaluation_of, read_run
from bandpo.views.report.sources import RESULTS, RUN, Source
from bandpo.views.report.text import line, number

_MOST_METHODS, _MOST_SCORES, _MOST_SEEDS, _MOST_RUNS = 40, 12, 1000, 400


@dataclass(frozen=True)
class Score:
    """One score of one method: its value for every seed, mean and standard error."""

    values: list[float]
    mean: float
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean over seeds."""
        if self.error is None:
            return None
        reach = student(len(self.values)) * self.error
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True)
class Difference:
    """The first method less the second in one score, paired by seed."""

    methods: tuple[str, str]
    score: str
    mean: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def is_clear(self) -> bool:
        """Tell whether the 95 % interval leaves out 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass
class Comparison:
    """What is known of a comparison.

    Attributes:
        start: scores before training.
        scores: by method and score.
        differences: of every pair of methods.
        curves: by method, the mean and its standard error over seeds at every evaluation.
        config, environment, command: what was run, where.
        remarks: sentences on what is not known.
    """

    source: Source
    seeds: list[int] = field(default_factory=list)
    start: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    curves: dict[str, list[Evaluation]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    remarks: list[str] = field(default_factory=list)

    @property
    def score_names(self) -> list[str]:
        """Return the names of all scores."""
        return list(dict.fromkeys(name for scores in self.scores.values() for name in scores))[:_MOST_SCORES]


def read_comparison(source: Source) -> Comparison:
    """Return what a comparison's folder holds; nothing in it makes this fail."""
    try:
        return _from_results(source, parse_object((source.path / RESULTS).read_bytes()))
    except FileNotFoundError:
        said = f"{RESULTS} is missing, so the comparison has not finished: these are the runs that have."
    except (OSError, ValueError) as error:
        said = f"{RESULTS} is left out ({line(error)}): these are the runs that have finished."
    found = _from_runs(source)
    found.remarks.insert(0, said)
    return found


def _from_results(source: Source, held: Mapping[str, Any]) -> Comparison:
    start = evaluation_of({"step": 0, **_mapping(held.get("start"))})
    found = Comparison(source, start=dict(start.scores) if start else {})
    found.seeds = [seed for seed in _list(held.get("seeds")) if isinstance(seed, int)][:_MOST_SEEDS]
    methods = list(_mapping(held.get("methods")).items())[:_MOST_METHODS]
    for method, scores in methods:
        known = {line(name, 60): _score(entry) for name, entry in list(_mapping(scores).items())[:_MOST_SCORES]}
        found.scores[line(method)] = {name: score for name, score in known.items() if score is not None}
    if not found.scores:
        raise ValueError("no methods in it")
    for entry in _list(held.get("differences"))[: _MOST_METHODS**2]:
        found.differences += _differences(_mapping(entry))
    for method, curve in list(_mapping(held.get("curves")).items())[:_MOST_METHODS]:
        found.curves[line(method)] = _curve(_mapping(curve), len(found.seeds))
    found.config, found.environment = _mapping(held.get("config")), _mapping(held.get("environment"))
    found.command = line(held.get("command") or "", 1000)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _score(entry: Any) -> Score | None:
    entry = _mapping(entry)
    values = [value for value in map(number, _list(entry.get("values"))[:_MOST_SEEDS]) if value is not None]
    mean, error = number(entry.get("mean")), number(entry.get("se"))
    return None if mean is None else Score(values, mean, error)


def _differences(entry: Mapping[str, Any]) -> list[Difference]:
    pair = _list(entry.get("methods"))
    if len(pair) != 2:
        return []
    found = []
    for name, value in entry.items():
        mean = number(_mapping(value).get("mean"))
        if mean is not None:
            low, high, p = (number(value.get(key)) for key in ("low", "high", "p"))
            found.append(Difference((line(pair[0]), line(pair[1])), line(name, 60), mean, low, high, p))
    return found


def _curve(curve: Mapping[str, Any], seeds: int) -> list[Evaluation]:
    """Return the mean over seeds at every evaluation, and its standard error where there are several seeds."""
    names = [name for name in curve if name not in NO_SCORES and not name.endswith(" se")]
    points = []
    for at, step in enumerate(_list(curve.get("step"))):
        scores = {name: _at(curve.get(name), at) for name in names}
        errors = {name: _at(curve.get(f"{name} se"), at) if seeds > 1 else None for name in names}
        points.append(evaluation_of({"step": step, **scores, "errors": errors}))
    return thinned(point for point in points if point is not None)


def _at(values: Any, place: int) -> Any:
    return values[place] if isinstance(values, list) and place < len(values) else None


def _from_runs(source: Source) -> Comparison:
    found, runs = Comparison(source), _runs(source.path)
    ended: dict[str, list[Mapping[str, Any]]] = {}
    curves: dict[str, list[list[Evaluation]]] = {}
    for method, seed, folder in runs:
        run = read_run(Source(RUN, folder, f"{method}/seed-{seed}"))
        curves.setdefault(method, []).append(run.evaluations)
        found.config = found.config or run.config
        found.environment = found.environment or run.environment
        if run.result is None:
            found.remarks.append(f"{line(method)}, seed {seed}: not finished.")
            continue
        found.seeds = sorted({*found.seeds, seed})
        start = evaluation_of(run.result.get("before"))
        found.start = found.start or (dict(start.scores) if start else {})
        after = evaluation_of(run.result.get("after"))
        ended.setdefault(method, []).extend([after.scores] if after else [])
    for method, results in ended.items():
        found.scores[line(method)] = {
            name: score_of([result[name] for result in results if name in result])
            for name in dict.fromkeys(name for result in results for name in result)
        }
    found.curves = {line(method): _mean_curve(each) for method, each in curves.items()}
    return found


def _runs(folder: Path) -> list[tuple[str, int, Path]]:
    """Return method, seed and folder of every run."""
    found = []
    for path in folder.glob("*/seed-*"):
        seed = re.fullmatch(r"seed-(\d{1,10})", path.name)
        if seed and path.is_dir() and any(path.iterdir()):
            found.append((path.parent.name.replace(",", ":"), int(seed[1]), path))
    return sorted(found)[:_MOST_RUNS]


def score_of(values: Sequence[float]) -> Score:
    """Return values with their mean and standard error.

    >>> score_of([1.0, 3.0])
    Score(values=[1.0, 3.0], mean=2.0, error=1.0)
    """
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return Score(list(values), mean, None)
    return Score(list(values), mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count))


def _mean_curve(runs: Iterable[Sequence[Evaluation]]) -> list[Evaluation]:
    """Return means over the runs at every step at which all of them were evaluated."""
    tables = [{each.step: each.scores for each in run} for run in runs if run]
    if not tables:
        return []
    points = []
    for step in sorted(set.intersection(*map(set, tables))):
        names = [name for name in tables[0][step] if all(name in table[step] for table in tables)]
        scores = {name: score_of([table[step][name] for table in tables]) for name in names}
        errors = {name: score.error for name, score in scores.items() if score.error is not None}
        points.append(Evaluation(step, {name: score.mean for name, score in scores.items()}, errors))
    return points
