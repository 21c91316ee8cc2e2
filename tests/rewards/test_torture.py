"""Hostile answers: graded or refused in time, the pool survives and nothing is left behind."""

import os
import time
from pathlib import Path

import pytest

from bandpo.rewards import Grader
from benchmarks.grading_torture import MEMORY, TORTURE

LIMIT = 0.5
SLACK = 5.0  # the first start and a busy machine
QUICK = {
    "a million digits", "1 MB of text, answer at its end", "1 MB in the box", "1 MB of Answer: lines",
    "1 MB of spaces in an answer line", "1 MB of digits and commas after Answer:", "100,000 open boxes",
    "100,000 closed boxes joined", "a million backslashes", "a million dollar signs", "200,000 open braces",
}  # fmt: skip
CORRECT = {
    "1 MB of text, answer at its end", "1 MB of spaces in an answer line", "equal long sums of roots",
    "equal powers of a sum, expanded", "two large sets",
}  # fmt: skip


@pytest.fixture(scope="module")
def grader():
    grader = Grader(timeout=LIMIT, workers=1)
    grader.grade([r"\boxed{x+x}"], ["y"])
    yield grader
    grader.close()


@pytest.mark.parametrize("name, reference, completion", TORTURE, ids=[name for name, *_ in TORTURE])
def test_every_answer_ends_in_time(grader, name, reference, completion):
    started = time.monotonic()
    [verdict] = grader.grade([completion], [reference])
    assert time.monotonic() - started < LIMIT + SLACK
    assert not verdict.is_correct or name in CORRECT
    if name in QUICK:
        assert verdict.refused in (None, "length")


def test_the_pool_goes_on_after_them(grader):
    patient = Grader(timeout=30, workers=1)
    assert [v.is_correct for v in grader.grade([r"\boxed{3}"], ["3"])] == [True]
    assert [v.is_correct for v in patient.grade([r"\boxed{x+x}"], ["2x"])] == [True]
    patient.close()


def test_a_hostile_batch_takes_its_limits_and_no_more():
    grader = Grader(timeout=LIMIT, workers=2)
    towers = [rf"\boxed{{9^{{9^{{9^{n}}}}}}}" for n in range(2, 6)]
    started = time.monotonic()
    verdicts = grader.grade([*towers, r"\boxed{2y}"], ["5"] * 4 + ["y+y"])
    grader.close()
    assert time.monotonic() - started < (4 / 2 + 1) * (LIMIT + SLACK)
    assert {v.refused for v in verdicts[:4]} == {"timeout"}
    assert grader.statistics.refused["timeout"] >= 4 and grader.statistics.graded == 5


def test_the_same_hostile_answer_costs_its_limit_once():
    grader = Grader(timeout=LIMIT, workers=1)
    hostile = r"\boxed{9^{9^{9^{9}}}}"
    started = time.monotonic()
    verdicts = grader.grade([hostile] * 200, ["5"] * 200)
    assert time.monotonic() - started < LIMIT + SLACK
    started = time.monotonic()
    verdicts += grader.grade([hostile], ["5"])
    assert time.monotonic() - started < LIMIT  # remembered: it would take its whole limit again
    assert {v.refused for v in verdicts} == {"timeout"} and grader.statistics.refused == {"timeout": 201}
    grader.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory limits need Linux")
@pytest.mark.parametrize("name, reference, completion", MEMORY, ids=[name for name, *_ in MEMORY])
def test_a_memory_bomb_is_refused_as_one(name, reference, completion):
    grader = Grader(timeout=60, memory_mb=128, workers=1)
    [verdict] = grader.grade([completion], [reference])
    [after] = grader.grade([r"\boxed{x+x}"], ["2x"])
    grader.close()
    assert verdict.refused == "memory" and after.is_correct


def test_nothing_leaks():
    grader = Grader(timeout=0.2, workers=1)
    grader.grade([r"\boxed{x+1}"], ["y"])
    files, seen = open_files(), set(grader.processes())
    for n in range(5):
        grader.grade([rf"\boxed{{9^{{9^{{9^{{{n + 4}}}}}}}}}"], ["5"])
        grader.grade([rf"\boxed{{x+{n + 2}}}"], ["y"])
        seen |= set(grader.processes())
    assert len(grader.processes()) == 1 and len(seen) == 6 and open_files() <= files
    grader.close()
    assert grader.processes() == [] and open_files() <= files
    for process in seen:
        with pytest.raises(ProcessLookupError):  # neither running nor a zombie
            os.kill(process, 0)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
