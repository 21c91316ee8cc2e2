"""Comparison: the order and recovery of runs, and how their processes end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from bandpo.runs.comparison import parse_specs, run_all, run_folder, scheduler, train_arguments
from bandpo.store.folder import METRICS, RunFolder

SOURCE = str(Path(scheduler.__file__).parents[3])
STAND_IN = '''
"""Stands for `bandpo train`: notes its arguments and leaves a finished run, or fails where it is told to."""
import os, pathlib, signal, sys, time
from bandpo_files import write
arguments = sys.argv[1:]
option = {name: value for name, value in zip(arguments, arguments[1:]) if name.startswith("--")}
out = pathlib.Path(option["--output_dir"])
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join([*arguments, "threads=" + os.environ["OMP_NUM_THREADS"]]) + "\\n")
time.sleep(float(option.get("--sleep", 0)))
if "--kill" in option:
    os.kill(os.getpid(), getattr(signal, option["--kill"]))
if "--exit" in option:
    sys.exit(option["--exit"])
if option["--method"] == option.get("--quiet"):
    sys.exit(0)
if option["--method"] == option.get("--fail"):
    sys.exit("a line before\\nboom: this is the last line")
write(out)
'''
STAND_IN_FILES = """
def write(out):
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").write_text("{}")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """`python -m bandpo` is a script that takes no time; returns what it was called with."""
    package = tmp_path / "stand_in" / "bandpo"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    (tmp_path / "stand_in" / "bandpo_files.py").write_text(STAND_IN_FILES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "stand_in"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(scheduler, "_POLL_SECONDS", 0.01)
    return lambda: (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []


def test_every_run_is_a_train_command_of_its_own(tmp_path):
    (spec,) = parse_specs("clip-higher:eps_high=0.6")
    arguments = train_arguments(tmp_path, spec, 7, ["--beta", "0.1"])
    assert arguments[:2] == ["--beta", "0.1"]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options["--method"] == "clip-higher" and options["--seed"] == "7"
    assert json.loads(options["--method_kwargs"]) == {"eps_high": 0.6}
    assert options["--output_dir"] == str(tmp_path / "clip-higher,eps_high=0.6" / "seed-7")


def test_seeds_are_outermost_and_cores_are_shared(tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr(scheduler.os, "cpu_count", lambda: 6)
    assert run_all(parse_specs("grpo,band-kl"), [3, 5], tmp_path / "out", ["--beta", "0.1"], jobs=1) == []
    called = [call.split() for call in stand_in()]
    assert [(call[4], call[6]) for call in called] == [("grpo", "3"), ("band-kl", "3"), ("grpo", "5"), ("band-kl", "5")]
    assert all(call[:3] == ["train", "--beta", "0.1"] and call[-1] == "threads=6" for call in called)
    run_all(parse_specs("no-clip"), [3], tmp_path / "out", [], jobs=4)
    assert stand_in()[-1].endswith("threads=1")


def test_what_is_complete_is_not_run_again(tmp_path, stand_in):
    specs = parse_specs("grpo,band-kl")
    run_all(specs, [0], tmp_path / "out", [], jobs=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    run_all(specs, [0], tmp_path / "out", [], jobs=2)
    assert len(stand_in()) == 2
    run_all([*specs, *parse_specs("no-clip")], [0, 1], tmp_path / "out", [], jobs=2)
    assert len(stand_in()) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_run_that_fails_is_reported_and_the_others_complete(tmp_path, stand_in):
    failed = run_all(parse_specs("grpo,no-clip,band-kl"), [0, 1], tmp_path / "out", ["--fail", "no-clip"], jobs=1)
    assert failed == [
        f"{tmp_path / 'out' / 'no-clip' / f'seed-{seed}'}: boom: this is the last line" for seed in (0, 1)
    ]
    complete = sorted(path.parent.parent.name for path in (tmp_path / "out").rglob("result.json"))
    assert complete == ["band-kl", "band-kl", "grpo", "grpo"]
    assert run_all(parse_specs("grpo,no-clip,band-kl"), [0, 1], tmp_path / "out", [], jobs=1) == []
    assert len(stand_in()) == 8


def test_jobs_run_at_the_same_time(tmp_path, stand_in):
    started = time.time()
    run_all(parse_specs("grpo,band-kl,no-clip"), [0], tmp_path / "out", ["--sleep", "3"], jobs=3)
    assert time.time() - started < 9


@pytest.mark.parametrize("jobs", [0, -1])
def test_fewer_than_one_job_is_refused(tmp_path, jobs):
    with pytest.raises(ValueError, match=f"--jobs {jobs}: expected at least 1"):
        run_all(parse_specs("grpo"), [0], tmp_path, [], jobs)


def test_an_interruption_ends_what_was_started(tmp_path, stand_in, monkeypatch):
    workers = []
    start = scheduler._start
    monkeypatch.setattr(scheduler, "_start", lambda *a: workers.append(start(*a)) or workers[-1])
    refresh = scheduler.Bar.refresh

    def interrupt(bar, *args, **kwargs):
        if len(workers) == 2:
            raise KeyboardInterrupt
        return refresh(bar, *args, **kwargs)

    monkeypatch.setattr(scheduler.Bar, "refresh", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_all(parse_specs("grpo,band-kl"), [0], tmp_path / "out", ["--sleep", "60"], jobs=2)
    assert [worker.process.returncode for worker in workers] == [-signal.SIGTERM] * 2


def test_a_run_killed_by_a_signal_is_reported_as_that(tmp_path, stand_in):
    (spec,) = parse_specs("grpo")
    failed = run_all([spec], [0], tmp_path / "out", ["--kill", "SIGKILL"], jobs=1)
    assert failed == [f"{tmp_path / 'out' / 'grpo' / 'seed-0'}: killed by SIGKILL"]
    failed = run_all([spec], [0], tmp_path / "out", ["--kill", "SIGSEGV"], jobs=1)
    assert failed == [f"{tmp_path / 'out' / 'grpo' / 'seed-0'}: killed by SIGSEGV"]


def test_a_run_that_ends_well_without_a_result_failed(tmp_path, stand_in):
    (failed,) = run_all(parse_specs("grpo"), [0], tmp_path / "out", ["--quiet", "grpo"], jobs=1)
    assert failed.endswith("seed-0: ended without a result: no output")
    run_all(parse_specs("grpo"), [0], tmp_path / "out", ["--fail", "grpo"], jobs=1)
    (failed,) = run_all(parse_specs("grpo"), [0], tmp_path / "out", ["--quiet", "grpo"], jobs=1)
    assert failed.endswith("seed-0: ended without a result: no output"), "what an earlier try said is not its"


def test_logs_of_earlier_tries_are_kept(tmp_path, stand_in):
    for _ in range(2):
        run_all(parse_specs("grpo"), [0], tmp_path / "out", ["--fail", "grpo"], jobs=1)
    assert (tmp_path / "out" / "grpo" / "seed-0.log").read_text().count("boom") == 2


def test_what_a_run_says_does_not_steer_the_terminal(tmp_path, stand_in):
    (failed,) = run_all(parse_specs("grpo"), [0], tmp_path / "out", ["--exit", "a\x1b[31m\u202eb"], jobs=1)
    assert failed.endswith(r"a\x1b[31m\u202eb")


def test_a_folder_in_which_a_process_lives_is_left_to_it(tmp_path, stand_in):
    (spec,) = parse_specs("grpo")
    folder = run_folder(tmp_path / "out", spec, 0)
    folder.path.mkdir(parents=True)
    log = folder.path.with_suffix(".log")
    log.write_text("at work")
    code = "import sys; from bandpo.store.lock import FolderLock; from pathlib import Path; "
    code += "lock = FolderLock(Path(sys.argv[1])); lock.acquire(); print('held'); input()"
    command = [sys.executable, "-u", "-c", code, str(folder.path)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONPATH": SOURCE}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        failed = run_all([spec], [0, 1], tmp_path / "out", [], jobs=2)
        assert failed == [f"{folder.path}: process {other.pid} is running in it"]
        assert log.read_text() == "at work" and len(stand_in()) == 1
        other.kill()
    assert run_all([spec], [0, 1], tmp_path / "out", [], jobs=2) == []


def test_runs_end_with_the_comparison_that_is_killed(tmp_path, stand_in):
    code = (
        f"import sys; sys.path.insert(0, {SOURCE!r}); from pathlib import Path; "
        "from bandpo.runs.comparison import parse_specs, run_all; "
        f"run_all(parse_specs('grpo,band-kl'), [0], Path({str(tmp_path / 'out')!r}), ['--sleep', '60'], jobs=2)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as parent:
        while len(stand_in()) < 2:
            assert parent.poll() is None
            time.sleep(0.01)
        workers = psutil.Process(parent.pid).children()
        parent.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("metrics", "config", "share"),
    [
        ([{"step": 2}], {"max_steps": 8}, 0.25),
        ([{"step": 2}, {"step": 12}], {"max_steps": 8}, 1.0),
        ([], {"max_steps": 8}, 0.0),
        ([{"loss": 2}], {"max_steps": 8}, 0.0),
        ([{"step": "two"}], {"max_steps": 8}, 0.0),
        ([{"step": 2}], {"max_steps": -1}, 0.0),
        ([{"step": 2}], {"max_steps": 0}, 0.0),
        ([{"step": 2}], {}, 0.0),
    ],
)
def test_how_far_a_run_is(tmp_path, metrics, config, share):
    folder = RunFolder(tmp_path / "run")
    assert scheduler._share_done(folder) == 0
    folder.claim(config)
    folder.append(METRICS, metrics)
    assert scheduler._share_done(folder) == share
    (tmp_path / "run" / "config.yaml").write_text("[")
    assert scheduler._share_done(folder) == 0
    folder.finish({})
    assert scheduler._share_done(folder) == 1


def mtimes(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_comparison_killed_in_between_continues(tiny_with, tmp_path, bandpo_command):
    """Two methods, two seeds, real processes; killed, continued, ended by SIGTERM, and a seed added later."""
    compared = ["compare", "--methods", "grpo,band-kl:delta=0.02", "--out", "out", "--jobs", "1"]
    options = [*compared, *tiny_with()]
    command = [sys.executable, "-m", "bandpo", *options, "--seeds", "2"]
    out = tmp_path / "out"
    for stop in (os.killpg, None):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        done = len(list(out.rglob("result.json")))
        with subprocess.Popen(command, cwd=tmp_path, **quiet) as process:
            while process.poll() is None and len(list(out.rglob("result.json"))) == done:
                time.sleep(0.01)
            while process.poll() is None and len(list(out.rglob("config.yaml"))) == done + 1:
                time.sleep(0.01)
            complete = {path.parent: mtimes(path.parent) for path in out.rglob("result.json")}
            os.killpg(process.pid, signal.SIGKILL) if stop else process.terminate()
        assert process.returncode == (-signal.SIGKILL if stop else 130)
        assert not (out / "results.json").exists()
        assert complete and all(mtimes(folder) == times for folder, times in complete.items())
    again = bandpo_command([*options, "--seeds", "2"], tmp_path)
    assert again.returncode == 0, again.stderr
    assert all(mtimes(folder) == times for folder, times in complete.items())
    first = json.loads((out / "results.json").read_text())
    assert first["seeds"] == [0, 1] and list(first["methods"]) == ["grpo", "band-kl:delta=0.02"]
    config = yaml.safe_load((out / "band-kl,delta=0.02" / "seed-1" / "config.yaml").read_text())
    assert config["method_kwargs"] == {"delta": 0.02} and config["seed"] == 1

    other = bandpo_command([*compared, *tiny_with(learning_rate=1e-4), "--seeds", "2"], tmp_path)
    assert other.returncode == 2 and "learning_rate=0.001, now 0.0001" in other.stderr

    complete = {path.parent: mtimes(path.parent) for path in out.rglob("result.json")}
    later = bandpo_command([*options, "--seeds", "0-2"], tmp_path)
    assert later.returncode == 0, later.stderr
    assert all(mtimes(folder) == times for folder, times in complete.items())
    second = json.loads((out / "results.json").read_text())
    assert second["seeds"] == [0, 1, 2]
    for method, scores in second["methods"].items():
        assert scores["mean@2"]["values"][:2] == first["methods"][method]["mean@2"]["values"]
    assert (out / "curves.png").stat().st_size > 10_000 and "seeds (0..2)" in later.stdout
