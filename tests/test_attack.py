"""The attack at its smallest: some kills, damages and bad inputs survive; and its judges see what is wrong."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import benchmarks.attack
from benchmarks.attack import bad_inputs, damage, damaged, kills, results, stages, tiny
from benchmarks.attack.case import Case
from benchmarks.attack.inputs import all_cases
from benchmarks.attack.judge import Ended, failure
from benchmarks.attack.lane import Lane
from benchmarks.attack.outcome import Outcome
from benchmarks.attack.parts import PARTS
from benchmarks.attack.processes import end_all, left_behind, working_in

DAMAGES = [
    ("run/checkpoint-16/trainer_state.json", "missing"),
    ("run/checkpoint-16/trainer_state.json", "cut in half"),
    ("run/config.yaml", "missing"),
]
INPUTS = [
    "an unknown flag",
    "--seed='one'",
    "recipe: a pipe that nobody writes to",
    "YAML '? [a, b]\\n: 1\\n'",
    "rows.json: cut short",
    "compare --methods grpo,grpo",
    "eval --temperature nan",
    "match --delta nan",
    "b.npz: objects, which numpy pickles",
    "train on a file",
    "doctor vrel",
]


@pytest.fixture(scope="module")
def lane():
    made = Lane()
    yield made
    made.close()


@pytest.mark.slow
def test_killed_runs_end_as_an_unbroken_one(lane, tmp_path):
    target = kills.Target("train", "train", tuple(tiny.train(max_steps=8)))
    whole = kills.unbroken(target, lane, tmp_path / "whole")
    met = kills.until_enough(target, whole, tmp_path, "test", 2, [lane], float("inf"))
    outcomes = list(met)
    assert len(outcomes) >= 2
    assert [one for one in outcomes if one.failure] == []


@pytest.mark.slow
def test_damages_are_healed_or_named(lane, tmp_path):
    (checkpoint, run, _) = stages.of_train(lane, tmp_path)
    for file, name in DAMAGES:
        stage = checkpoint if "checkpoint" in file else run
        assert Path(file) in stage.files
        how = damage.fitting(stage.folder / file)[name]
        outcome = damaged.attack(stage, tmp_path / "copy", Path(file), name, how)(lane)
        assert outcome.failure is None, outcome


def test_bad_input_is_refused(lane, tmp_path):
    cases = [case for case in all_cases() if case.name in INPUTS]
    assert len(cases) == len(INPUTS)
    outcomes = [bad_inputs.attack(case, tmp_path / str(number))(lane) for number, case in enumerate(cases)]
    assert [one for one in outcomes if one.failure] == []


def test_no_two_cases_have_a_name_and_there_are_many():
    names = Counter(case.name for case in all_cases())
    assert len(names) >= 150 and max(names.values()) == 1
    assert PARTS["inputs"].expected == len(names)


ENDS = [
    (Ended(0, "done", "", 1), "accepted silently"),
    (Ended(None, "", "", 30), "still running after 30 s"),
    (Ended(-11, "", "", 1), "ended by signal 11"),
    (Ended(1, "", "Traceback (most recent call last):\n  x\nKeyError: 'a'\n", 1), "traceback: KeyError: 'a'"),
    (Ended(1, "", "\rAborted.\n", 1), "no sentence"),
    (Ended(2, "", "", 1), "no sentence"),
    (Ended(2, "", "bandpo: 'int' object is not iterable\n", 1), "Python's words"),
    (Ended(2, "", "bandpo: speed=1: expected 2\n", 1), "does not name seed"),
    (Ended(2, "", "bandpo: seed \x1b[31mx\n", 1), "raw control characters"),
]


@pytest.mark.parametrize(("ended", "words"), ENDS, ids=[words for _, words in ENDS])
def test_the_judge_sees_what_is_wrong(ended, words):
    found = failure(Case("kind", "name", (), says=("seed",)), ended)
    assert found is not None and found.startswith(words)


def test_the_judge_lets_pass_what_is_right():
    assert failure(Case("kind", "name", (), says=("seed",)), Ended(2, "", "bandpo: seed=x: expected 1\n", 1)) is None
    assert failure(Case("kind", "name", (), must="work"), Ended(0, "done", "", 1)) is None
    own = Ended(1, "", 'Traceback (most recent call last):\n  File "own.py", line 1\nKeyError: odd\n', 1)
    assert failure(Case("kind", "name", (), says=("odd",), own_code="own.py"), own) is None
    assert failure(Case("kind", "name", (), must="work"), own) is not None


def test_another_model_with_exit_code_0_is_a_failure():
    done, path = Ended(0, "", "", 1), Path("run/model.safetensors")
    assert damaged.judge(done, path, {"model": "1"}, {"model": "1"}) is None
    assert damaged.judge(done, path, {"model": "1"}, {"model": "2"}) == "exit code 0, but model differs"
    assert damaged.judge(Ended(2, "", "bandpo: model.safetensors is cut\n", 1), path, {}, {}) is None
    assert damaged.judge(Ended(2, "", "bandpo: something is cut\n", 1), path, {}, {}) is not None


def test_lost_files_are_seen(tmp_path):
    case = Case("kind", "name", (), {"p/mine.txt": "precious"}, keeps=("p/mine.txt",))
    assert bad_inputs.lost(case, tmp_path) == "p/mine.txt is lost"
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "mine.txt").write_text("precious")
    assert bad_inputs.lost(case, tmp_path) is None


def test_a_process_left_behind_is_seen_and_ended(tmp_path):
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path)
    assert list(left_behind(tmp_path, seconds=0.2)) == [sleeping.pid]
    assert working_in(tmp_path.with_name(tmp_path.name[:-1])) == {}
    assert sleeping.poll() is None
    sleeping.kill()
    sleeping.wait()
    end_all(tmp_path)
    assert working_in(tmp_path) == {}


def test_times_are_no_part_of_the_results(tmp_path):
    for name, seconds, loss in (("a", 1, 0.5), ("b", 2, 0.5), ("c", 1, 0.6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(f'{{"seconds": {seconds}, "loss": {loss}}}')
    a, b, c = (results.of_train(tmp_path / name) for name in "abc")
    assert results.difference(a, b) is None
    assert results.difference(a, c) == "result.json differs"


def test_a_kill_whose_run_ends_otherwise_is_a_failure(tmp_path):
    target = kills.Target("train", "train", ("train",))
    whole = kills.Unbroken({"result.json": "other"}, 1.0, 1)
    kill = Outcome("train", "kill 1", None, 137)
    ended = Ended(0, "", "", 1)
    assert "result.json" in (kills.verdict(target, whole, tmp_path, ended, kill).failure or "")
    refused = Ended(2, "", "bandpo train: no\n", 1)
    assert kills.verdict(target, whole, tmp_path, refused, kill).failure == "not resumed: bandpo train: no"


@pytest.mark.parametrize("module", sorted(one.name for one in pkgutil.walk_packages(benchmarks.attack.__path__)))
def test_examples_in_docstrings_hold(module):
    if not module.startswith("__"):
        name = module if module.startswith("benchmarks") else f"benchmarks.attack.{module}"
        assert doctest.testmod(importlib.import_module(name)).failed == 0
