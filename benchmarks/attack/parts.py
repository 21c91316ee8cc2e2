"""The parts of the attack: each yields outcomes as they come, none takes longer than its limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack import bad_inputs, band, damaged, stages, tiny
from benchmarks.attack.compare_kills import PARENT, WORKER, worker_chain
from benchmarks.attack.inputs import all_cases
from benchmarks.attack.kills import Target, chain, unbroken, until_enough
from benchmarks.attack.lane import Lane, share
from benchmarks.attack.outcome import Outcome

Outcomes = Iterator[Outcome]
_GRADED = ["--config=countdown", "--reward=own_reward.graded"]


@dataclass(frozen=True)
class Setting:
    """What a part works with: its lanes, a folder of its own, the seed of its draws, and when it has to stop."""

    lanes: list[Lane]
    place: Path
    seed: int
    until: float


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        about: what it does, for the screen.
        run: the outcomes.
        minutes: after so long nothing new is begun.
        expected: about how many outcomes come, for the screen.
    """

    about: str
    run: Callable[[Setting], Outcomes]
    minutes: float
    expected: int


def kill_train(setting: Setting) -> Outcomes:
    """Runs on the embedded task, and runs whose rewards come from grading processes."""
    plain = Target("train: kill -9", "train", tuple(tiny.train()))
    graded = Target(
        "train with grading processes: kill -9",
        "train",
        (*tiny.train(), *_GRADED),
        {"own_reward.py": tiny.GRADED},
    )
    for target, wanted in ((plain, 60), (graded, 15)):
        yield from _kills(target, wanted, setting, setting.lanes)


def kill_eval(setting: Setting) -> Outcomes:
    """Evaluations."""
    yield from _kills(Target("eval: kill -9", "eval", tuple(tiny.evaluate())), 24, setting, setting.lanes)


def kill_compare(setting: Setting) -> Outcomes:
    """Comparisons, one at a time, since each runs on all cores."""
    parent, worker = (Target(kind, "compare", tuple(tiny.compare(seeds="7,"))) for kind in (PARENT, WORKER))
    place = setting.place
    whole = unbroken(parent, setting.lanes[0], place / "whole")
    for target, make in ((parent, chain), (worker, worker_chain)):
        yield from until_enough(
            target, whole, place / make.__name__, str(setting.seed), 10, setting.lanes[:1], setting.until, make
        )


def _kills(target: Target, wanted: int, setting: Setting, lanes: list[Lane]) -> Outcomes:
    place = setting.place / f"{len(target.files)}"
    whole = unbroken(target, lanes[0], place / "whole")
    yield from until_enough(target, whole, place, str(setting.seed), wanted, lanes, setting.until)


def damage(setting: Setting) -> Outcomes:
    """Files of checkpoints, runs, evaluations and comparisons."""
    for make in stages.ALL:
        for number, stage in enumerate(make(setting.lanes[0], setting.place)):
            jobs = damaged.attacks(stage, setting.place / f"{make.__name__}-{number}")
            yield from share(jobs, setting.lanes, setting.until)


def inputs(setting: Setting) -> Outcomes:
    """Configurations, rows, rewards, names, folders and arguments."""
    yield from share(bad_inputs.jobs(all_cases(), setting.place), setting.lanes, setting.until)


def sweep(setting: Setting) -> Outcomes:
    """Points of the band."""
    yield from band.outcomes(setting.place, setting.until)


PARTS: Mapping[str, Part] = {
    "train": Part("SIGKILL of bandpo train", kill_train, 6, 75),
    "eval": Part("SIGKILL of bandpo eval", kill_eval, 3, 24),
    "compare": Part("SIGKILL of bandpo compare and of its workers", kill_compare, 10, 20),
    "damage": Part("damaged checkpoints and run files", damage, 12, 330),
    "inputs": Part("bad configurations, rows, files, names and options", inputs, 12, len(all_cases())),
    "band": Part("bounds at 1e8 points", sweep, 8, 1),
}
