"""The reward functions as TRL and verl call them, and the paper's rule against verl's own."""

import json
import logging
from pathlib import Path

import pytest

from bandpo.rewards import (
    Grader,
    answer_line_reward,
    check_reference,
    compute_score,
    math_reward,
    math_rewarder,
    shared_grader,
)
from bandpo.rewards.answer_line import answer_line_equal
from bandpo.rewards.functions import _shared_grader

GOLDEN = json.loads((Path(__file__).parent / "answer_line_golden.json").read_text())["cases"]
HOSTILE = r"\boxed{9^{9^{9^{9}}}}"


@pytest.fixture
def fresh_graders(monkeypatch):
    _shared_grader.cache_clear()
    yield monkeypatch
    for grader in (shared_grader(), shared_grader("answer-line")):
        grader.close()
    _shared_grader.cache_clear()


def test_texts_and_chats():
    chat = [{"role": "user", "content": r"\boxed{5}"}, {"role": "assistant", "content": r"\boxed{4}"}]
    parts = [{"role": "assistant", "content": [{"type": "text", "text": r"It is \boxed{4}"}]}]
    assert math_reward([chat, parts, "Answer: 5", []], answer=["4", "4", "4", "4"]) == [1.0, 1.0, 0.0, 0.0]


def test_references_may_be_numbers():
    assert math_reward([r"\boxed{4}", r"\boxed{0.5}", r"\boxed{3}"], answer=[4, 0.5, 2]) == [1.0, 1.0, 0.0]


def test_trl_hands_over_more_columns_and_gets_its_metric():
    logged = []
    rewards = math_reward(
        completions=["Answer: 4", HOSTILE],
        answer=["4", "5"],
        prompts=["?", "?"],
        completion_ids=[[1], [2]],
        source=["a", "b"],
        trainer_state=None,
        log_extra=lambda name, values: None,
        log_metric=lambda name, value: logged.append((name, value)),
    )
    assert rewards == [1.0, 0.0] and logged == [("math_reward/refused", 0.5), ("math_reward/unread", 0.0)]


def test_refusals_are_counted_and_logged_as_their_number_doubles(caplog):
    reward, long = math_rewarder(), r"\boxed{" + "1" * 2000 + "}"
    with caplog.at_level(logging.WARNING, "bandpo.rewards"):
        assert reward([HOSTILE, long, r"\boxed{4}"], answer=["5", "5", "4"]) == [0, 0, 1]
        assert reward([r"\boxed{4}", "Answer: 4, I guess"], answer=["4", "4"]) == [1, 0]
        assert reward(["Answer: 4 or so"], answer=["4"]) == [0]
    assert [record.getMessage().replace("1" * 200, "1...") for record in caplog.records] == [
        "math_reward: 2 of 3 answers refused (length 1, size 1); the latest, length: '1...' against '5'",
        "math_reward: 4 of 6 answers refused (length 1, size 1, unread 2); the latest, unread: '4 or so' against '4'",
    ]


def test_statistics_add_up():
    grader = Grader()
    grader.grade([HOSTILE, r"\boxed{4}", r"\boxed{5}", "Answer: 3 or so"], ["5", "4", "4", "3"])
    assert (grader.statistics.graded, grader.statistics.correct) == (4, 1)
    assert str(grader.statistics) == "2 of 4 answers refused (size 1, unread 1)"
    assert list(grader.statistics.examples) == [("size", "5", "9^{9^{9^{9}}}"), ("unread", "3", "3 or so")]


@pytest.mark.parametrize(
    "answer, right, wrong",
    [
        (["3", "5"], "5", "4"),
        (("3", "5"), "3", "3 or 5"),
        ([0.5], r"\frac12", "2"),
        (1e-07, "10^{-7}", "10^{-6}"),
        (27.0, "27", "2.7"),
    ],
)
def test_references_may_be_alternatives_and_numbers(answer, right, wrong):
    assert math_reward([rf"\boxed{{{right}}}", rf"\boxed{{{wrong}}}"], answer=[answer, answer]) == [1.0, 0.0]
    assert compute_score("mine", f"Answer: {right}", answer)["acc"] is True


def test_a_reference_that_cannot_be_read_is_counted_and_named_and_never_graded_by_a_piece():
    grader = Grader()
    verdicts = grader.grade([r"\boxed{5}", r"\boxed{5 or so}"], ["5 or so", "5 or so"])
    assert [(verdict.is_correct, verdict.refused) for verdict in verdicts] == [(False, "reference"), (True, None)]


@pytest.mark.parametrize("answer", ["5", r"\frac{1}{2}", ["3", "5"], "Tuesday", "C", "x > 3", 27, 0.5])
def test_references_that_are_understood_pass_the_check(answer):
    check_reference(answer)
    assert math_reward.check_answer is check_reference


@pytest.mark.parametrize("answer", ["5 or so", "", None, [], ["3", "about 5"], "3 5", r"\frac{1}{", {"a": 1}])
def test_references_that_are_not_understood_do_not(answer):
    with pytest.raises(ValueError, match="answer is missing" if answer is None else "answer="):
        check_reference(answer)


@pytest.mark.parametrize("answer", [["4"], ["4", "4", "4"], []])
def test_as_many_answers_as_completions(answer):
    with pytest.raises(ValueError, match=f"2 completions, {len(answer)} answers: expected as many"):
        math_reward(["a", "b"], answer=answer)


@pytest.mark.parametrize("answer", ["", "  ", None, [], [""], ["4", None], {"a": 4}, b"4", float("nan"), True])
def test_an_empty_reference_is_an_error_and_no_zero(answer):
    with pytest.raises(ValueError, match="expected the reference answer"):
        math_reward(["a"], answer=[answer])


def test_a_completion_of_another_kind_is_an_error():
    with pytest.raises(TypeError, match="completion=3: expected text or chat messages"):
        math_reward([3], answer=["3"])


@pytest.mark.parametrize(
    "options, said",
    [
        ({"rule": "math_verify"}, "rule='math_verify': expected one of math, math-verify, answer-line"),
        ({"timeout": 0}, "timeout=0: expected seconds above 0"),
        ({"timeout": float("nan")}, "timeout=nan: expected seconds above 0"),
        ({"memory_mb": 64}, "memory_mb=64: expected at least 128"),
        ({"workers": 0}, "workers=0: expected at least 1"),
    ],
)
def test_options_out_of_range(options, said):
    with pytest.raises(ValueError, match=said):
        Grader(**options)


def test_limits_from_the_environment(fresh_graders):
    fresh_graders.setenv("BANDPO_GRADER_TIMEOUT", "0.25")
    fresh_graders.setenv("BANDPO_GRADER_WORKERS", "1")
    fresh_graders.setenv("BANDPO_GRADER_MEMORY_MB", "256")
    grader = shared_grader()
    assert (grader.timeout, grader.workers, grader.memory_mb) == (0.25, 1, 256)


def test_a_wrong_limit_in_the_environment(fresh_graders):
    fresh_graders.setenv("BANDPO_GRADER_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="BANDPO_GRADER_TIMEOUT='soon': expected a number"):
        shared_grader()
    fresh_graders.delenv("BANDPO_GRADER_TIMEOUT")


def test_own_reward_values():
    reward = math_rewarder(correct=2.0, wrong=-0.5)
    assert reward(["Answer: 4", "Answer: 5"], answer=["4", "4"]) == [2.0, -0.5]


def test_verl_gets_score_and_reasons():
    assert compute_score("math_dapo", r"\boxed{0.5}", r"\frac12", {"index": 3}, reward_router_address=None) == {
        "score": 1.0,
        "acc": True,
        "pred": "0.5",
        "refused": 0.0,
        "unread": 0.0,
    }
    assert compute_score("aime", "Answer: 5", 4)["score"] == 0.0
    assert compute_score("aime", "Answer: 5", "4", rule="answer-line")["score"] == -1.0
    assert compute_score("aime", "Answer: 4", "4", rule="answer-line")["score"] == 1.0
    assert compute_score("aime", "Answer: 5", "4", correct=10.0, wrong=-3.0)["score"] == -3.0


def test_the_papers_rule_knows_no_mathematics():
    completions = ["Answer: 34", "Answer: 0.5", r"\boxed{34}", "Answer: 1\nAnswer: 34", "Answer: 34" + " " * 300]
    answers = ["34", r"\frac12", "34", "34", "34"]
    assert answer_line_reward(completions, answer=answers) == [1.0, -1.0, -1.0, 1.0, -1.0]


@pytest.mark.parametrize("case", GOLDEN, ids=range(len(GOLDEN)))
def test_the_papers_rule_is_verls(case):
    assert answer_line_equal(case["completion"], case["reference"]) == (case["equal"], case["normalised"])
