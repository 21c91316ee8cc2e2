"""The script for one GPU on a machine without one: parts that hang, crash or are stopped, their files, the page."""

import doctest
import importlib
import json
import pkgutil
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

import benchmarks.gpu
from benchmarks.attack.processes import working_in
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import asked, cases, correctness, page, runner
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.record import FINISHED, Record, read, value_of
from benchmarks.gpu.wheels import unpack
from benchmarks.marks import END

DRY = ["--device", "cpu", "--small"]
WRITES = "import json, os, sys; open(sys.argv[1], 'w').write(json.dumps({'part': 'p', 'values': {'launches': 2}}))\n"
HANGS = (
    WRITES + "import subprocess, time; subprocess.Popen(['sleep', '60']); print('begun', flush=True); time.sleep(60)"
)
CRASHES = "print('so far so good', flush=True); raise ValueError('no such luck')"
INTERRUPTS = WRITES + "import signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)"


def run_script(script, tmp_path, seconds=30.0):
    """How a part ended that is this script, and what its file says."""
    out = tmp_path / "p.json"
    environment = {**runner.environment("cpu", None), "HERE": str(tmp_path)}
    with (tmp_path / "log.txt").open("w") as log:
        ended = runner.run_part("p", [sys.executable, "-c", script, str(out)], out, seconds, log, environment)
    return ended, read(out)


@pytest.fixture
def as_in_a_terminal():
    """Ctrl-C interrupts, also where the tests run in the background, for which a shell turns it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def scripts(monkeypatch):
    """Have parts be scripts: name -> script."""

    def use(named):
        monkeypatch.setattr(command, "PARTS", {name: Part("a script", 20) for name in named})
        monkeypatch.setattr(page, "PARTS", dict.fromkeys(named))
        monkeypatch.setattr(
            runner, "command_of", lambda name, out, *_: [sys.executable, "-c", named[name], str(out.resolve())]
        )

    return use


def test_all_parts_together_take_six_minutes_at_most():
    assert sum(part.seconds for part in PARTS.values()) <= 360
    assert {question.part for question in asked.QUESTIONS.values()} == set(PARTS) == set(page.TITLES)
    for name in PARTS:
        assert callable(importlib.import_module(f"benchmarks.gpu.{name}").measure)


def test_a_part_that_hangs_is_killed_with_what_it_started_and_keeps_what_it_wrote(tmp_path):
    started = time.monotonic()
    ended, data = run_script(HANGS, tmp_path, seconds=3)
    assert time.monotonic() - started < 20
    assert ended == data["ended"] == "killed at its limit of 3 s"
    assert data["values"] == {"launches": 2}
    time.sleep(0.2)
    assert working_in(tmp_path) == {}


def test_a_part_that_crashes_says_its_last_line(tmp_path):
    ended, data = run_script(CRASHES, tmp_path)
    assert ended == data["ended"] == "exit code 1: ValueError: no such luck"
    assert data["values"] == {}


def test_results_of_an_earlier_run_are_not_taken_for_this_one(tmp_path):
    (tmp_path / "p.json").write_text('{"part": "p", "values": {"launches": 14}}')
    assert run_script(CRASHES, tmp_path)[1]["values"] == {}


def test_the_rest_runs_after_a_crash_and_a_wrong_result_is_exit_code_1(scripts, tmp_path, capsys):
    scripts({"correctness": CRASHES, "speed": WRITES})
    assert command.main([*DRY, "--out", str(tmp_path)]) == 1
    assert read(tmp_path / "correctness.json")["ended"].startswith("exit code 1")
    assert read(tmp_path / "speed.json")["ended"] == FINISHED
    assert "kernels of a forward and backward pass" in capsys.readouterr().out
    scripts({"correctness": WRITES, "speed": CRASHES})
    assert command.main([*DRY, "--out", str(tmp_path)]) == 0


def test_ctrl_c_ends_the_part_and_all_that_would_follow(scripts, tmp_path, as_in_a_terminal, capsys):
    scripts({"correctness": WRITES, "speed": INTERRUPTS, "study": WRITES})
    assert command.main([*DRY, "--out", str(tmp_path)]) == 130
    assert read(tmp_path / "speed.json")["ended"] == "stopped by Ctrl-C"
    assert read(tmp_path / "speed.json")["values"] == {"launches": 2}
    assert not (tmp_path / "study.json").exists()
    assert "kernels of a forward and backward pass" in capsys.readouterr().out


def test_a_part_whose_packages_are_missing_is_not_started(scripts, tmp_path, monkeypatch, capsys):
    scripts({"speed": CRASHES})
    monkeypatch.setattr(command, "PARTS", {"speed": Part("a script", 20, ("torch", "no_such_module"))})
    assert command.main([*DRY, "--out", str(tmp_path)]) == 0
    assert read(tmp_path / "speed.json")["ended"] == "not started, not installed: no_such_module"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "torch sees no GPU here"),
        (["--small"], "--device cuda --small: expected"),
        (["--device", "cpu"], "--device cpu: expected"),
        ([*DRY, "--page"], "--page with --small"),
        ([*DRY, "--patience", "0"], "--patience 0: expected a positive number"),
        ([*DRY, "--patience", "nan"], "--patience nan"),
        ([*DRY, "--wheels", "nowhere"], "--wheels nowhere: expected a folder of wheels"),
    ],
)
def test_what_cannot_run_is_refused_in_one_sentence_before_any_work(arguments, words, tmp_path, capsys):
    assert command.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert words in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert not (tmp_path / "out").exists()


def test_a_record_is_whole_after_every_number_and_takes_its_own_questions_alone(tmp_path, capsys):
    record = Record(tmp_path / "speed.json", "speed", {"small": True})
    assert read(tmp_path / "speed.json")["ended"] is None
    record.add("launches", 2)
    record.add("host_ratio", float("inf"), "stock 0 µs")
    found = read(tmp_path / "speed.json")
    assert value_of(found, "launches") == 2 and value_of(found, "host_ratio") == float("inf")
    assert value_of(found, "syncs") is None and value_of(None, "syncs") is None
    with pytest.raises(KeyError, match="a question of correctness, not of speed"):
        record.add("decisions", 0)


def test_wheels_are_unpacked_onto_the_module_path(tmp_path):
    with zipfile.ZipFile(tmp_path / "some_package-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_package/__init__.py", "answer = 42\n")
    unpack(tmp_path, tmp_path / "site")
    assert (tmp_path / "site" / "some_package" / "__init__.py").read_text() == "answer = 42\n"
    assert str(tmp_path / "site") in runner.environment("cuda", tmp_path / "site")["PYTHONPATH"]


def test_a_wheel_for_another_python_is_refused_before_anything_is_unpacked(tmp_path, capsys):
    for name in ("fits-1.0-py3-none-any.whl", "other-1.0-py27-none-any.whl"):
        zipfile.ZipFile(tmp_path / name, "w").close()
    assert command.main([*DRY, "--wheels", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "other-1.0-py27-none-any.whl is for another Python or machine: expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_page_is_what_the_results_say():
    text = page.PAGE.read_text(encoding="utf-8")
    assert f"{page.START}\n{page.table(page.load(page.RESULTS))}{END}" in text
    for question in asked.QUESTIONS.values():
        assert question.what in text


def test_numbers_get_their_verdict_and_dry_runs_none(tmp_path):
    about = {"machine": {"gpu": "NVIDIA H200", "date": "2026-12-01", "packages": {"torch": "2.11.0"}}}
    about |= {"seconds": 9, "commit": "abc1234"}
    right = {"part": "correctness", "values": {"decisions": 0, "bounds": 9.0}, "ended": FINISHED, **about}
    results = {"correctness": right, "speed": {"part": "speed", "values": {"launches": 3}, "ended": FINISHED, **about}}
    found = page.table(results)
    assert "| 0 | 0 | right | 0 |" in found and "| at most 8 | 9 | **wrong** | 5 (KL 1.03) |" in found
    assert (
        "| at most 2 | 3 | **missed** | 14 |" in found
        and "One NVIDIA H200, 2026-12-01, commit abc1234, torch 2.11.0; 18 seconds" in found
    )
    assert page.is_wrong(results) and not page.is_wrong({"correctness": {**right, "values": {"decisions": 0}}})
    assert page.is_wrong({"correctness": {**right, "values": {}, "ended": "killed at its limit of 75 s"}})
    dry = {name: {**data, "small": True} for name, data in results.items()}
    assert page.table(dry) == page.table({})


def test_a_part_whose_script_was_killed_is_told_as_cut_short(tmp_path, capsys):
    Record(tmp_path / "speed.json", "speed", {"machine": {"gpu": "NVIDIA H200", "date": "", "packages": {}}})
    results = {"speed": read(tmp_path / "speed.json")}
    assert "speed: cut short with the script" in page.summary(results)
    assert "This part did not finish: cut short with the script." in page.table(results)


def test_an_earlier_wrong_result_is_not_that_of_another_part(scripts, tmp_path, capsys):
    scripts({"correctness": CRASHES, "speed": WRITES})
    assert command.main([*DRY, "--out", str(tmp_path)]) == 1
    assert command.main([*DRY, "--out", str(tmp_path), "--only", "speed"]) == 0


def test_every_method_that_the_kernel_serves_is_tried():
    names = {name for name, _ in cases.served()}
    fixed = {"grpo", "clip-higher", "dual-clip", "two-sided", "no-clip"}
    bands = {"band-kl", "band-tv", "band-chi2", "band-hellinger", "band-upper", "band-mirror"}
    assert names == fixed | bands | {"atr-grpo", "dcpo"}


def test_what_is_wrong_is_seen():
    given = cases.batch(3, 40)
    truth = cases.reference(given, "band-kl", {})
    right = cases.passed(given, "band-kl", {}, kernel="torch")
    assert dict(cases.errors(right, truth))["decisions"] == 0
    learning = right.gradient.nonzero()[0]
    stopped = right.gradient.clone()
    stopped[tuple(learning)] = 0.0
    assert dict(cases.errors(right._replace(gradient=stopped), truth))["decisions"] == 1
    found = dict(cases.errors(right._replace(gradient=right.gradient * 1.001, loss=right.loss + 1.0), truth))
    assert found["gradients"] == pytest.approx(1e-3, rel=0.01) and found["losses"] > 0.1
    assert cases.differing(right, right) == 0
    assert cases.differing(right, right._replace(loss=right.loss + 1e-6)) == 1


RADII = "band-chi2 {'delta': 'of each row'}"
WEIGHTS = "band-upper {'importance_cap': 2.0, 'logp_rollout': 'twice logp_old'}"
REFERENCE = "band-kl {'beta': 0.1, 'kl_estimator': 'k3', 'logp_ref': 'twice logp_old'}"


@pytest.mark.parametrize("name", ["bounds", "not numbers", "streams", "long row", RADII, WEIGHTS, REFERENCE])
def test_tasks_of_correctness_at_the_smallest_size(name):
    with torch.random.fork_rng():
        found = correctness.run_task(name, "cpu", True)
    for key, (value, count) in found.items():
        assert count > 0 and asked.QUESTIONS[key].holds(value), key


@pytest.mark.slow
def test_a_dry_run_goes_every_way(tmp_path):
    assert command.main([*DRY, "--patience", "10", "--out", str(tmp_path)]) == 0
    for name in PARTS:
        data = json.loads((tmp_path / f"{name}.json").read_text())
        assert data["ended"] == FINISHED, (name, data["ended"])
        known = {key for key, question in asked.QUESTIONS.items() if question.part == name}
        assert known - set(data["values"]) <= {"head_liger"}


@pytest.mark.parametrize("module", sorted(one.name for one in pkgutil.iter_modules(benchmarks.gpu.__path__)))
def test_examples_in_docstrings_hold(module):
    if module in ("asked", "cases", "correctness", "record"):
        assert doctest.testmod(importlib.import_module(f"benchmarks.gpu.{module}")).failed == 0


def test_no_file_is_long():
    for path in Path(benchmarks.gpu.__path__[0]).glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 200, path.name
