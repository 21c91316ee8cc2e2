"""The cells of breadth.md: who begins where, what is tuned, what is tested on which seeds."""

from itertools import islice

import pytest

from benchmarks.science import breadth, plan, starts
from benchmarks.science.evidence_page import summary
from benchmarks.science.policies import load_policy
from benchmarks.science.stack import start_path
from benchmarks.science.tasks import TASKS
from tests.science.test_science_evidence import record

WORTH = {plan.CANDIDATE: 0.5, "band-kl": 0.35, "grpo": 0.3, "clip-higher": 0.32, breadth.PAIR: 0.42}


def made_up(seeds):
    made = [
        (cell, seed, record(cell, arm, seed, **{"pass@32": solved + 0.001 * (seed % 5)}))
        for cell in breadth.CELLS
        for arm, solved in WORTH.items()
        for seed in seeds
    ]
    return [{**one, "start": cell.starts[seed % len(cell.starts)]} for cell, seed, one in made]


def test_every_cell_has_every_arm_on_every_seed_and_the_first_seeds_come_first():
    jobs = list(breadth.jobs())
    runs = [(settings.task, run.spec.label, run.seed, run.start) for settings, own in jobs for run in own]
    assert len(runs) == len(set(runs)) == len(breadth.CELLS) * len(WORTH) * len(plan.TEST_SEEDS)
    assert {arm for _, arm, _, _ in runs} == WORTH.keys()
    first = runs[: len(breadth.CELLS) * len(WORTH) * plan.BLOCK]
    assert {seed for _, _, seed, _ in first} == {*plan.TEST_SEEDS[: plan.BLOCK]}


def test_tables_hold_what_was_put_in_and_seeds_that_an_arm_lacks_are_left_out():
    made = made_up(plan.TEST_SEEDS[:12])
    lost = next(one for one in made if one["task"] == "first-move" and one["method"] == "grpo")
    found = breadth.found([one for one in made if one is not lost])
    assert [cell["task"] for cell in found["cells"]] == [cell.name for cell in breadth.CELLS]
    for cell, number in zip(found["cells"], (11, 12, 12, 12), strict=True):
        assert cell["tuned"] == breadth.PAIR
        assert {scores["n"] for scores in cell["arms"].values()} == {number}
    page = summary(found)
    assert page.count("(given pair)") == 4 and "tuned pair" not in page
    better = [test for test in found["hypotheses"]["H1"] if test["claim"] == "H1b"]
    assert [test["mean"] for test in better] == pytest.approx([0.08] * 4)


def test_the_larger_model_is_no_arm_of_the_smaller_ones_cell():
    [wide] = [cell for cell in breadth.CELLS if cell.task == "countdown"]
    small = plan.CELLS[0]
    made = made_up(plan.TEST_SEEDS[:12])
    assert len(wide.records(made)) == 60 and small.records(made) == []
    assert small.has_rivals and not wide.has_rivals


@pytest.mark.parametrize("name", starts.ALL)
def test_every_start_is_there_and_of_the_shape_that_is_said(name):
    start = starts.ALL[name]
    task = TASKS[start.task]
    state, heads = load_policy(start_path(name))
    assert state["transformer.wte.weight"].shape == (len(task.words), start.width) and heads == 4
    assert state["transformer.wpe.weight"].shape[0] == task.prompt_tokens + task.answer_tokens
    assert f"transformer.h.{start.layers - 1}.ln_1.weight" in state
    assert f"transformer.h.{start.layers}.ln_1.weight" not in state


def test_every_cell_s_starts_are_its_tasks():
    for cell in breadth.CELLS:
        assert {starts.ALL[name].task for name in cell.starts} == {cell.task}


def test_demonstrations_answer_and_end():
    for name in ("first-move-1", "countdown-wide-1"):
        task = TASKS[starts.ALL[name].task]
        for prompt, answer in islice(starts.demonstrations(starts.ALL[name]), 50):
            task.encode([prompt]), task.encode([answer])
            assert len(prompt.split()) == task.prompt_tokens and len(answer.split()) == task.answer_tokens
    pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
    for name in ("quantum-lock-1", "shortest-path-1"):
        task = TASKS[starts.ALL[name].task]
        for prompt, answer in islice(starts.demonstrations(starts.ALL[name]), 50):
            assert len(task.encode([prompt])[0]) == task.prompt_tokens
            words = answer.split()
            assert words[-1] == "<end>" and 2 <= len(words) <= task.answer_tokens and "<end>" not in words[:-1]
