"""Generated hostile answers: none is paid, none takes long, none makes the grader raise, as answer or as reference."""

import re
import time

import pytest

from bandpo.rewards import math_reward
from benchmarks.grading_fuzz import MAKERS, hostile_answers

COUNT, SEED, LATE = 2000, 2026, 1.0


@pytest.fixture(scope="module", autouse=True)
def _libraries_loaded():
    """Grade an answer that opens every library first: the time of an import is no answer's."""
    math_reward([r"\boxed{I,I}"], answer=[r"\{1, 7\}"])


@pytest.mark.parametrize("part", range(4))
def test_no_hostile_answer_is_paid_hangs_or_raises(part):
    faults = []
    for hostile in hostile_answers(COUNT // 4, seed=SEED + part):
        started = time.process_time()  # not the wall clock's: other tests run beside this one
        [paid] = math_reward([hostile.completion], answer=[hostile.reference])
        seconds = time.process_time() - started
        if paid or seconds > LATE:
            faults.append((paid, round(seconds, 2), hostile))
    assert not faults


def test_hostile_references_neither_hang_nor_raise():
    faults = []
    for hostile in hostile_answers(COUNT // 4, seed=SEED - 1):
        if hostile.completion.strip():
            started = time.process_time()
            math_reward([rf"\boxed{{{hostile.reference}}}"], answer=[hostile.completion])
            seconds = time.process_time() - started
            if seconds > LATE:
                faults.append((round(seconds, 2), hostile))
    assert not faults


def test_the_same_seed_gives_the_same_answers_and_every_kind_takes_part():
    answers = list(hostile_answers(90, seed=3))
    assert answers == list(hostile_answers(90, seed=3)) != list(hostile_answers(90, seed=4))
    assert {hostile.kind for hostile in answers} == set(MAKERS)


def test_a_reference_holds_a_number_that_its_answer_lacks_unless_it_hedges():
    for hostile in hostile_answers(900, seed=5):
        [number] = {word for word in re.findall(r"\d+", hostile.reference) if len(word) == 12}
        assert number not in hostile.completion or hostile.kind == "hedged"
