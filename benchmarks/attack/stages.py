"""The folders that are damaged: a run, an evaluation and a comparison, cut short or finished."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.attack import results, tiny
from benchmarks.attack.damaged import LIMIT_SECONDS, Stage
from benchmarks.attack.judge import Ended
from benchmarks.attack.lane import Lane

_TRIES = 20
_SHORT = ("missing", "empty", "an open brace", "a list", "a number for every value")


def of_train(lane: Lane, place: Path) -> list[Stage]:
    """A run that was killed, its checkpoint and its other files; and a finished one."""
    cut, whole = place / "train-cut", place / "train-whole"
    argv = tuple(tiny.train())
    finish(lane, argv, whole)
    expected = results.of_train(whole / "run")
    cut_short(lane, argv, cut, lambda: b'"step": 18' in content(cut / "run" / "metrics.jsonl"))
    logs = ("config.yaml", "environment.json", "metrics.jsonl", "evaluations.jsonl")
    read = functools.partial(in_folder, "train")
    line = f"bandpo {' '.join(argv)}"
    half = f"{line} & kill -9 $! when run/metrics.jsonl has step 18"
    return [
        Stage("damaged newest checkpoint", half, cut, argv, read, expected, dict.fromkeys(files_of_checkpoint(cut))),
        Stage("damaged file of an unfinished run", half, cut, argv, read, expected, dict.fromkeys(named(logs))),
        Stage(
            "damaged result of a finished run", line, whole, argv, read, expected, dict.fromkeys(named(["result.json"]))
        ),
    ]


def of_eval(lane: Lane, place: Path) -> list[Stage]:
    """An evaluation that was killed; a finished one; two that are compared."""
    cut, whole, pair = place / "eval-cut", place / "eval-whole", place / "eval-pair"
    argv = tuple(tiny.evaluate())
    finish(lane, argv, whole)
    expected = results.of_eval(whole / "run")
    samples = cut / "run" / "countdown.samples.jsonl"
    cut_short(lane, argv, cut, lambda: content(samples).count(b"\n") >= 40)
    shutil.copytree(whole, pair)
    second = tuple(tiny.evaluate(**{"output-dir": "other", "seed": 1}))
    finish(lane, second, pair)
    compare = ("eval", "--compare", "other", "run")
    shown = {"printed": lane.run(compare, pair, LIMIT_SECONDS).stdout}
    logs = ("config.yaml", "environment.json", "countdown.problems.jsonl", "countdown.samples.jsonl")
    done, compared = ("config.yaml", "result.json"), ("config.yaml", "result.json", "countdown.samples.jsonl")
    read = functools.partial(in_folder, "eval")
    line, other = f"bandpo {' '.join(argv)}", f"bandpo {' '.join(second)}"
    half = f"{line} & kill -9 $! when run/countdown.samples.jsonl has 40 lines"
    return [
        Stage("damaged file of an unfinished evaluation", half, cut, argv, read, expected, dict.fromkeys(named(logs))),
        Stage("damaged file of a finished evaluation", line, whole, argv, read, expected, dict.fromkeys(named(done))),
        Stage(
            "damaged file of a compared evaluation",
            f"{line}; {other}",
            pair,
            compare,
            printed,
            shown,
            dict.fromkeys(named(compared)),
        ),
    ]


def of_compare(lane: Lane, place: Path) -> list[Stage]:
    """A finished comparison, one of whose runs is damaged."""
    whole = place / "compare-whole"
    argv = tuple(tiny.compare(seeds="7,"))
    finish(lane, argv, whole)
    expected = results.of_compare(whole / "run")
    run = Path("run/band-kl/seed-7")
    files = {run / "result.json": _SHORT, run / "evaluations.jsonl": None}
    line = f"bandpo {' '.join(argv)}"
    return [
        Stage(
            "damaged run of a comparison", line, whole, argv, functools.partial(in_folder, "compare"), expected, files
        )
    ]


ALL = (of_train, of_eval, of_compare)


def finish(lane: Lane, argv: Sequence[str], place: Path) -> None:
    """Run the command to its end.

    Raises:
        RuntimeError: it failed.
    """
    ended = lane.run(argv, place, 2 * LIMIT_SECONDS)
    if ended.code != 0:
        raise RuntimeError(f"bandpo {' '.join(argv)} failed before any attack: {ended.last_line}")


def cut_short(lane: Lane, argv: Sequence[str], place: Path, is_time: Callable[[], bool]) -> None:
    """Kill the command at the right time.

    Raises:
        RuntimeError: it was always faster.
    """
    for _ in range(_TRIES):
        shutil.rmtree(place, ignore_errors=True)
        lane.start(argv, place)
        while lane.is_running() and not is_time():
            time.sleep(0.0005)
        if lane.is_running():
            lane.kill()
        if lane.wait(LIMIT_SECONDS).code == -9:
            return
    raise RuntimeError(f"bandpo {' '.join(argv)} was not killed in time in {_TRIES} tries")


def files_of_checkpoint(folder: Path) -> list[Path]:
    """Every file of the newest checkpoint in `folder/run`, whatever it holds."""
    newest = max((folder / "run").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return sorted(path.relative_to(folder) for path in newest.iterdir() if path.is_file())


def named(names: Sequence[str]) -> list[Path]:
    """Files of the folder `run`."""
    return [Path("run") / name for name in names]


def content(path: Path) -> bytes:
    """What is in the file, nothing where there is none."""
    return path.read_bytes() if path.is_file() else b""


def in_folder(command: str, place: Path, ended: Ended) -> results.Results:
    """The results in the folder `run`."""
    return results.OF[command](place / "run")


def printed(place: Path, ended: Ended) -> results.Results:
    """What the command printed, where that is all it does."""
    return {"printed": ended.stdout}
