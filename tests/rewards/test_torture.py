"""Hostile answers: each is graded or refused in a moment, in the calling process, and none is paid."""

import time

import pytest

from bandpo.rewards import Grader
from benchmarks.grading_torture import CORRECT, MEMORY, TORTURE

SECONDS = 3.0  # a busy machine; alone the slowest takes a fifth of it


@pytest.mark.parametrize("name, reference, completion", TORTURE + MEMORY, ids=[name for name, *_ in TORTURE + MEMORY])
def test_every_answer_ends_in_time_and_none_is_paid(name, reference, completion):
    grader = Grader()
    started = time.monotonic()
    [verdict] = grader.grade([completion], [reference])
    assert time.monotonic() - started < SECONDS
    assert not verdict.is_correct or name in CORRECT
    assert verdict.refused in (None, "unread", "size", "length", "reference")
    assert grader.processes() == []


@pytest.mark.parametrize("name", ["equal long sums of roots", "equal powers of a sum, expanded", "two large sets"])
def test_large_answers_that_are_right_are_paid(name):
    [(reference, completion)] = [(r, c) for n, r, c in TORTURE if n == name]
    assert Grader().grade([completion], [reference])[0].is_correct


def test_an_answer_too_large_to_work_out_says_so():
    towers = [rf"\\boxed{{9^{{9^{{9^{n}}}}}}}" for n in range(4, 8)]
    assert {verdict.refused for verdict in Grader().grade(towers, ["5"] * 4)} == {"size"}
