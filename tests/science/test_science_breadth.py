"""The cells of breadth.md: who begins where, what is tuned, what is tested on which seeds."""

import pytest

from benchmarks.science import breadth, plan, starts
from benchmarks.science.policies import load_policy
from benchmarks.science.stack import start_path
from benchmarks.science.tasks import TASKS
from tests.science.test_science_evidence import record

BEST = (0.05, 1.0)


def scored(cell, method, seed, solved):
    made = record(cell, method, seed, **{"pass@32": solved + 0.001 * (seed % 5)})
    return {**made, "start": cell.starts[seed % len(cell.starts)]}


def tuning():
    seeds = [*plan.FIRST_SEEDS, *plan.SECOND_SEEDS]
    worth = {pair: 0.4 if pair == BEST else 0.3 - 0.01 * number for number, pair in enumerate(breadth.PAIRS)}
    return [
        scored(cell, plan.pair_spec(pair), seed, solved)
        for cell in breadth.CELLS
        for pair, solved in worth.items()
        for seed in seeds
    ]


def tested(seeds):
    worth = {plan.CANDIDATE: 0.5, "band-kl": 0.35, "grpo": 0.3, "clip-higher": 0.32, plan.pair_spec(BEST): 0.42}
    return [
        scored(cell, arm, seed, solved) for cell in breadth.CELLS for arm, solved in worth.items() for seed in seeds
    ]


def test_all_arms_of_all_cells_are_run_half_of_the_seeds_first():
    halves = [list(breadth.test_runs(tuning(), seeds)) for seeds in breadth.HALVES]
    for jobs, seeds in zip(halves, breadth.HALVES, strict=True):
        runs = [(settings.task, run.spec.label, run.seed, run.start) for settings, own in jobs for run in own]
        assert len(runs) == len(set(runs)) == len(breadth.CELLS) * 5 * len(seeds)
        assert {seed for _, _, seed, _ in runs} == {*seeds}
    assert sorted([*breadth.HALVES[0], *breadth.HALVES[1]]) == [*plan.TEST_SEEDS]


def test_tables_hold_what_was_put_in_and_tuning_runs_are_no_test():
    found = breadth.found(tuning() + tested(breadth.HALVES[0]))
    assert [cell["task"] for cell in found["cells"]] == [cell.name for cell in breadth.CELLS]
    for cell in found["cells"]:
        assert cell["tuned"] == plan.pair_spec(BEST)
        assert {scores["n"] for scores in cell["arms"].values()} == {12}
    better = [test for test in found["hypotheses"]["H1"] if test["claim"] == "H1b"]
    assert [test["mean"] for test in better] == pytest.approx([0.08] * 4)
    assert {test["n"] for tests in found["hypotheses"].values() for test in tests} == {12}


def test_the_larger_model_is_no_arm_of_the_smaller_ones_cell():
    wide, small = breadth.CELLS[-1], plan.CELLS[0]
    made = tested(breadth.HALVES[0])
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
    from itertools import islice

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
