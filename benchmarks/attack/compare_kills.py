"""`bandpo compare`: kill the parent and see its workers go; kill a worker and see the parent say so."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.attack.judge import Ended, unclean, unclear
from benchmarks.attack.kills import LIMIT_SECONDS, Target, Unbroken, verdict
from benchmarks.attack.lane import Lane
from benchmarks.attack.outcome import Outcome
from benchmarks.attack.processes import working_in

PARENT, WORKER = "compare: kill -9 of the parent", "compare: kill -9 of a worker"
_WORDS = ("signal", "killed", "sigkill", "-9")
_KILLS_A_CHAIN = 3


def worker_chain(target: Target, whole: Unbroken, place: Path, seed: str) -> Callable[[Lane], list[Outcome]]:
    """A job: kill one worker at a random moment of its life, let the parent end, begin again ..., then to the end."""

    def job(lane: Lane) -> list[Outcome]:
        draw = random.Random(seed)
        target.prepare(place)
        kills: list[Outcome] = []
        for number in range(_KILLS_A_CHAIN):
            lane.start(target.argv, place)
            line = _kill_a_worker(lane, place, whole, draw)
            ended = lane.wait(LIMIT_SECONDS)
            if line is None:
                break
            folder = re.search(r"--output_dir[= ](\S+)", line)
            name = f"{seed}, kill {number + 1}, {folder.group(1) if folder else line[:120]}"
            kills.append(Outcome(target.kind, name, _said(ended), ended.code, message=ended.last_line))
        ended = lane.run(target.argv, place, LIMIT_SECONDS)
        return [verdict(target, whole, place, ended, kill) for kill in kills]

    return job


def _kill_a_worker(lane: Lane, place: Path, whole: Unbroken, draw: random.Random) -> str | None:
    """Kill a process that the command has started, at a random moment; its command line, None where there was none."""
    moment = time.monotonic() + draw.uniform(0.0, whole.seconds)
    while lane.is_running():
        workers = {pid: line for pid, line in working_in(place).items() if pid != lane.pid}
        if workers and time.monotonic() > moment:
            pid = draw.choice(sorted(workers))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return workers[pid]
        time.sleep(0.05)
    return None


def _said(ended: Ended) -> str | None:
    """What is wrong with how a parent ended whose worker was killed: it goes on all the same, or says what happened."""
    broken = unclean(ended)
    if broken or ended.code == 0:
        return broken
    return unclear(ended, _WORDS)
