"""Comparison: parsing, the order and recovery of runs, and statistics against scipy from the files alone."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from scipy import stats

from bandpo.runs import comparison
from bandpo.runs.comparison import (
    parse_seeds,
    parse_specs,
    run_all,
    run_folder,
    summarise,
    train_arguments,
    write_report,
)
from bandpo.runs.folder import EVALUATIONS, RunFolder

STAND_IN = '''
"""Stands for `bandpo train`: notes its arguments and leaves a finished run, or fails where it is told to."""
import os, pathlib, sys, time
from bandpo_files import write
arguments = sys.argv[1:]
option = {name: value for name, value in zip(arguments, arguments[1:]) if name.startswith("--")}
out = pathlib.Path(option["--output_dir"])
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join([*arguments, "threads=" + os.environ["OMP_NUM_THREADS"]]) + "\\n")
time.sleep(float(option.get("--sleep", 0)))
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
    monkeypatch.setattr(comparison, "_POLL_SECONDS", 0.01)
    return lambda: (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1", [0]), ("3", [0, 1, 2]), ("5-5", [5]), ("8-11", [8, 9, 10, 11]), ("4, 2", [4, 2]), ("7,", [7])],
)
def test_seeds(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "-3", "x", "1,1", "3-1", "1-2-3", "1.5", ",", "1,x"])
def test_what_is_no_list_of_seeds(text):
    with pytest.raises(ValueError, match=f"--seeds {text!r}: expected"):
        parse_seeds(text)


def test_every_run_is_a_train_command_of_its_own(tmp_path):
    (spec,) = parse_specs("clip-higher:eps_high=0.6")
    arguments = train_arguments(tmp_path, spec, 7, ["--beta", "0.1"])
    assert arguments[:2] == ["--beta", "0.1"]
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert options["--method"] == "clip-higher" and options["--seed"] == "7"
    assert json.loads(options["--method_kwargs"]) == {"eps_high": 0.6}
    assert options["--output_dir"] == str(tmp_path / "clip-higher,eps_high=0.6" / "seed-7")


def test_seeds_are_outermost_and_cores_are_shared(tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr(comparison.os, "cpu_count", lambda: 6)
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
    run_all(parse_specs("grpo,band-kl,no-clip"), [0], tmp_path / "out", ["--sleep", "1"], jobs=3)
    assert time.time() - started < 2.5


@pytest.mark.parametrize("jobs", [0, -1])
def test_fewer_than_one_job_is_refused(tmp_path, jobs):
    with pytest.raises(ValueError, match=f"--jobs {jobs}: expected at least 1"):
        run_all(parse_specs("grpo"), [0], tmp_path, [], jobs)


def test_an_interruption_ends_what_was_started(tmp_path, stand_in, monkeypatch):
    workers = []
    start = comparison._start
    monkeypatch.setattr(comparison, "_start", lambda *a: workers.append(start(*a)) or workers[-1])
    monkeypatch.setattr(comparison._Progress, "show", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_all(parse_specs("grpo,band-kl"), [0], tmp_path / "out", ["--sleep", "60"], jobs=2)
    assert [worker.process.returncode for worker in workers] == [-signal.SIGTERM] * 2


METHODS, SEEDS, STEPS = "grpo,band-kl,band-mirror", [4, 5, 6, 8], [0, 10, 20]


@pytest.fixture
def finished(tmp_path):
    """Runs as `bandpo train` leaves them, with random scores; one score is the same in all runs."""
    rng = np.random.default_rng(0)
    for spec in parse_specs(METHODS):
        for seed in SEEDS:
            folder = run_folder(tmp_path, spec, seed)
            folder.claim({"model": "countdown", "method": spec.method, "seed": seed, "max_steps": 20})
            records = [
                {"step": step, "mean@32": rng.random(), "pass@32": rng.random(), "entropy": 0.5, "problems": 128}
                for step in STEPS
            ]
            folder.append(EVALUATIONS, records)
            folder.finish({"before": records[0], "after": records[-1]})
    return tmp_path


def final(out, method, name, seeds=SEEDS):
    """Scores at the end, read from result.json and from nothing else."""
    return [json.loads((out / method / f"seed-{seed}" / "result.json").read_text())["after"][name] for seed in seeds]


def test_means_and_errors_are_scipys(finished):
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    for method in METHODS.split(","):
        for name in ("mean@32", "pass@32"):
            values, entry = final(finished, method, name), summary["methods"][method][name]
            assert entry["values"] == values
            assert entry["mean"] == pytest.approx(np.mean(values))
            assert entry["se"] == pytest.approx(stats.sem(values))


def test_differences_are_paired_by_seed(finished):
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    pairs = [entry["methods"] for entry in summary["differences"]]
    assert pairs == [["band-kl", "grpo"], ["band-mirror", "grpo"], ["band-mirror", "band-kl"]]
    for entry in summary["differences"]:
        a, b = (np.array(final(finished, method, "mean@32")) for method in entry["methods"])
        found = entry["mean@32"]
        # One-sample t test of the differences, written out.
        error = np.std(a - b, ddof=1) / math.sqrt(len(a))
        half = stats.t.ppf(0.975, len(a) - 1) * error
        assert found["mean"] == pytest.approx(np.mean(a - b)) and found["se"] == pytest.approx(error)
        assert (found["low"], found["high"]) == pytest.approx((np.mean(a - b) - half, np.mean(a - b) + half))
        assert found["p"] == pytest.approx(2 * stats.t.sf(abs(np.mean(a - b)) / error, len(a) - 1))
        assert found["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_a_score_without_spread_has_no_p_value(finished):
    entry = summarise(parse_specs(METHODS), SEEDS, finished)["differences"][0]["entropy"]
    assert entry == {"mean": 0.0, "se": 0.0}


def test_one_seed_has_no_error(finished):
    summary = summarise(parse_specs(METHODS), SEEDS[:1], finished)
    assert summary["methods"]["grpo"]["mean@32"]["se"] is None
    assert summary["differences"][0]["mean@32"].keys() == {"mean", "se"}
    table = write_report(summary, finished)
    assert "±" not in table.split("\n", 2)[2] and "p=" not in table


def test_curves_are_means_over_seeds(finished):
    curve = summarise(parse_specs(METHODS), SEEDS, finished)["curves"]["band-kl"]
    runs = [RunFolder(finished / "band-kl" / f"seed-{seed}").read(EVALUATIONS) for seed in SEEDS]
    assert curve["step"] == STEPS
    for index in range(len(STEPS)):
        values = [run[index]["mean@32"] for run in runs]
        assert curve["mean@32"][index] == pytest.approx(np.mean(values))
        assert curve["mean@32 se"][index] == pytest.approx(stats.sem(values))


def test_the_report(finished, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bandpo", "compare", "--methods", METHODS, "--method_kwargs", '{"a": 1}'])
    summary = summarise(parse_specs(METHODS), SEEDS, finished)
    summary["methods"]["grpo"]["mean@32"]["se"] = float("nan")
    table = write_report(summary, finished)
    written = json.loads((finished / "results.json").read_text(), parse_constant=lambda literal: pytest.fail(literal))
    assert written["command"] == f"bandpo compare --methods {METHODS} --method_kwargs '{{\"a\": 1}}'"
    assert written["seeds"] == SEEDS and written["environment"]["packages"]["torch"]
    assert written["config"] == {"model": "countdown", "max_steps": 20}
    assert table == (finished / "table.md").read_text()
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_table(finished):
    table = write_report(summarise(parse_specs(METHODS), SEEDS, finished), finished)
    assert table.startswith("Mean ± standard error over 4 seeds (4, 5, 6, 8).")
    values = final(finished, "band-kl", "mean@32")
    assert f"| band-kl | {np.mean(values):.3f} ± {stats.sem(values):.3f} |" in table
    a, b = (np.array(final(finished, method, "mean@32")) for method in ("band-mirror", "grpo"))
    shown = f"{np.mean(a - b):+.3f} ± {stats.sem(a - b):.3f} (p={stats.ttest_rel(a, b).pvalue:.3f})"
    assert f"| band-mirror − grpo | {shown} |" in table
    for line in table.splitlines():
        assert line.count("|") in (0, 5) or not line.startswith("|")


def test_a_range_of_seeds_is_written_as_one(finished):
    assert "(4..6)" in write_report(summarise(parse_specs(METHODS), SEEDS[:3], finished), finished)
    assert "(4, 5)" in write_report(summarise(parse_specs(METHODS), SEEDS[:2], finished), finished)


def test_runs_without_evaluation_cannot_be_compared(finished):
    RunFolder(finished / "band-kl" / "seed-5").finish({"before": None, "after": None})
    with pytest.raises(ValueError, match="band-kl/seed-5 has no evaluation: expected --eval_dataset"):
        summarise(parse_specs(METHODS), SEEDS, finished)


def mtimes(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_comparison_killed_in_between_continues(tiny, tmp_path, bandpo_command):
    """Two methods, two seeds, real processes; killed, continued, ended by SIGTERM, and a seed added later."""
    options = ["compare", "--methods", "grpo,band-kl:delta=0.02", "--out", "out", "--jobs", "1", *tiny]
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

    other = bandpo_command([*options, "--seeds", "2", "--learning_rate", "1e-4"], tmp_path)
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
