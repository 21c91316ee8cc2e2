"""A run's folder as a report reads it: whatever is there is taken, whatever is damaged or missing is a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandpo.store.folder import ENVIRONMENT, EVALUATIONS, METRICS, SAMPLES
from bandpo.store.reading import CONFIG, RESULT, RunReader
from bandpo.store.records import parse_object
from bandpo.views.report.history import History, read_history, thinned
from bandpo.views.report.lines import Lines
from bandpo.views.report.sources import Source
from bandpo.views.report.text import line, number

BATCH_FOLDER = "batches"
NO_SCORES = ("step", "problems", "errors")
_MOST_SCORES = 12


@dataclass(frozen=True)
class Evaluation:
    """Scores on the held-out problems after some update.

    Attributes:
        step: the update.
        scores: by name.
        errors: standard errors over the problems, of the scores that have one.
        problems: how many, 0 if not known.
    """

    step: float
    scores: Mapping[str, float]
    errors: Mapping[str, float]
    problems: int = 0


@dataclass
class Run:
    """What is known of a run; `remarks` are sentences on what is not."""

    source: Source
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    history: History = field(default_factory=History)
    evaluations: list[Evaluation] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return what the page calls the run."""
        return self.source.name

    @property
    def batches(self) -> Path | None:
        """Return the folder of recorded batches, if there is one with anything in it."""
        folder = self.source.path / BATCH_FOLDER
        return folder if folder.is_dir() and any(folder.iterdir()) else None

    @property
    def samples(self) -> Path:
        """Return the file of held-out answers, there or not."""
        return self.source.path / SAMPLES


def read_run(source: Source) -> Run:
    """Return what a run's folder holds; nothing in it makes this fail."""
    reader, run = RunReader(source.path), Run(source)
    _take(run, CONFIG, lambda: setattr(run, "config", reader.config() or {}))
    if not run.config and not run.remarks:
        run.remarks.append(f"{CONFIG} is missing: the settings are not known.")
    _take(run, ENVIRONMENT, lambda: setattr(run, "environment", _object(source.path / ENVIRONMENT)))
    if (source.path / RESULT).exists():
        _take(run, RESULT, lambda: setattr(run, "result", reader.result()))
        _take(run, RESULT, lambda: run.remarks.extend(_damage(reader)))
    else:
        run.remarks.append("The run has not finished: what is shown is as far as it came.")
    logged = Lines(source.path / METRICS)
    run.history = read_history(logged)
    run.remarks += logged.remarks() or ([] if run.history.records else [f"{METRICS} holds nothing logged yet."])
    scored = Lines(source.path / EVALUATIONS)
    run.evaluations = sorted(
        thinned(each for each in map(evaluation_of, scored) if each is not None), key=lambda each: each.step
    )
    run.remarks += scored.remarks()
    return run


def _take(run: Run, name: str, read: Callable[[], None]) -> None:
    try:
        read()
    except FileNotFoundError:
        run.remarks.append(f"{name} is missing.")
    except (OSError, ValueError) as error:
        run.remarks.append(f"{name} is left out: {line(error)}.")


def _damage(reader: RunReader) -> list[str]:
    damage = None if reader.is_complete() else reader.damage()
    return [f"{damage}: not as it was when the run ended."] if damage else []


def _object(path: Path) -> dict[str, Any]:
    return parse_object(path.read_bytes())


def evaluation_of(record: Any) -> Evaluation | None:
    """Return the scores of one record, None where it has no step or no score.

    >>> evaluation_of({"step": 3, "mean@32": 0.5, "errors": {"mean@32": 0.1}, "problems": 8}).errors
    {'mean@32': 0.1}
    """
    if not isinstance(record, Mapping) or (step := number(record.get("step"))) is None:
        return None
    named = {line(name, 60): number(value) for name, value in record.items() if name not in NO_SCORES}
    scores = dict([(name, value) for name, value in named.items() if value is not None][:_MOST_SCORES])
    given = record.get("errors")
    errors = {name: number(given.get(name)) if isinstance(given, Mapping) else None for name in scores}
    problems = number(record.get("problems"))
    known = {name: error for name, error in errors.items() if error is not None and error >= 0}
    return Evaluation(step, scores, known, int(problems or 0)) if scores else None
