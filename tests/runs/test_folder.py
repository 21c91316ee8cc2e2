"""A run's folder: what may be claimed, what a kill leaves behind, and that what is written is JSON."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from bandpo.runs.folder import EVALUATIONS, METRICS, SAMPLES, RunFolder, environment, to_json

CONFIG = {"model": "countdown", "seed": 3, "reward": ["a.b"], "learning_rate": 1e-6, "method_kwargs": {"max_ratio": 10}}


def strict(text):
    """JSON without the literals that Python adds to it."""

    def refuse(literal):
        raise AssertionError(f"{literal} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "first")
    assert folder.claim(CONFIG) is None
    return folder


def checkpoint(folder, step, content='{"global_step": 1}'):
    path = folder.path / f"checkpoint-{step}"
    path.mkdir()
    if content is not None:
        (path / "trainer_state.json").write_text(content)
    return str(path)


def refusal(folder, config=CONFIG, **options):
    with pytest.raises(ValueError) as caught:
        folder.claim(config, **options)
    assert repr(str(folder.path)) in str(caught.value)
    return str(caught.value)


def test_a_new_folder_records_what_was_asked_for_and_where_it_ran(folder):
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == folder.config() == CONFIG
    recorded = strict((folder.path / "environment.json").read_text())
    assert recorded == environment()
    assert recorded["packages"]["torch"] == torch.__version__


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    assert RunFolder(tmp_path).claim(CONFIG) is None


def test_the_same_options_resume(folder):
    assert folder.claim(CONFIG) is None
    assert folder.claim({**CONFIG, "learning_rate": 0.000001}) is None
    newest = checkpoint(folder, 100)
    checkpoint(folder, 20)
    assert folder.claim(CONFIG) == newest


def test_options_that_are_none_and_options_that_are_absent_are_the_same(folder):
    assert folder.claim({**CONFIG, "eval_dataset": None}) is None


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 4), ("reward", ["a.c"]), ("learning_rate", 2e-6), ("beta", 0.1), ("model", None)]
)
def test_other_options_are_refused_by_name(folder, name, value):
    message = refusal(folder, {**CONFIG, name: value})
    assert f"{name}={CONFIG.get(name)!r}, now {value!r}" in message
    assert folder.config() == CONFIG


def test_a_finished_run_is_refused_and_left_alone(folder):
    folder.append(METRICS, [{"step": 1}])
    folder.finish({"steps": 1})
    assert "finished run" in refusal(folder)
    assert folder.is_complete() and folder.read(METRICS) == [{"step": 1}]


def test_other_files_are_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    assert "not empty and holds no run" in refusal(RunFolder(tmp_path))
    assert "not empty and holds no run" in refusal(RunFolder(tmp_path), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    assert "is a file" in refusal(RunFolder(tmp_path / "run"))


def test_overwrite_removes_everything_of_the_old_run(folder):
    for name in (METRICS, EVALUATIONS, SAMPLES):
        folder.append(name, [{"step": 1}])
    checkpoint(folder, 5)
    (folder.path / "model").mkdir()
    folder.finish({})
    assert folder.claim({"seed": 9}, overwrite=True) is None
    left = {path.name for path in folder.path.iterdir()}
    assert left - {".lock"} == {"config.yaml", "environment.json"} and folder.config() == {"seed": 9}


def test_overwrite_does_not_resume(folder):
    checkpoint(folder, 5)
    assert folder.claim(CONFIG, overwrite=True) is None
    assert folder.last_checkpoint() is None


def test_a_kill_while_the_folder_is_made_does_not_block_it(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / "config.yaml.partial").write_text("mod")
    assert RunFolder(tmp_path).claim(CONFIG) is None


def test_a_folder_in_which_another_process_runs_is_refused(folder):
    folder._lock.release(force=True)
    code = "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held'); input()"
    command = [sys.executable, "-u", "-c", code, str(folder.path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert "another process" in refusal(RunFolder(folder.path))
        assert "another process" in refusal(RunFolder(folder.path), {"seed": 1}, overwrite=True)
        assert folder.config() == CONFIG
        other.kill()
    assert RunFolder(folder.path).claim(CONFIG) is None


@pytest.mark.parametrize("content", [None, "", '{"global_step": 8, "log_hist'])
def test_a_checkpoint_that_was_cut_short_is_passed_over(folder, content):
    whole = checkpoint(folder, 4)
    checkpoint(folder, 8, content)
    assert folder.last_checkpoint() == whole


def test_the_newest_checkpoint_is_the_highest_number(folder):
    paths = [checkpoint(folder, step) for step in (9, 100, 20)]
    assert folder.last_checkpoint() == paths[1]


def test_no_checkpoint(folder, tmp_path):
    assert folder.last_checkpoint() is None
    assert RunFolder(tmp_path / "nowhere").last_checkpoint() is None


def test_a_last_line_cut_short_is_left_out(folder):
    folder.append(METRICS, [{"step": 1}, {"step": 2, "text": "é"}])
    whole = (folder.path / METRICS).read_bytes()
    second = len('{"step": 1}\n')
    for end in range(len(whole) + 1):
        (folder.path / METRICS).write_bytes(whole[:end])
        # A line counts from its closing brace on.
        expected = (end >= second - 1) + (end >= len(whole) - 1)
        assert len(folder.read(METRICS)) == expected


def test_records_come_back_whatever_they_say(folder):
    records = [{"step": 0, "text": 'a\nb\u2028c\x85d\x1ce\r\x0c "quoted" π 🦊'}, {"step": 1, "text": ""}]
    folder.append(SAMPLES, records)
    folder.append(SAMPLES, records)
    assert folder.read(SAMPLES) == records * 2
    folder.replace(SAMPLES, records)
    assert folder.read(SAMPLES) == records
    assert folder.read("absent.jsonl") == []


def test_rewind_drops_what_a_resumed_run_writes_again(folder):
    for name in (METRICS, EVALUATIONS):
        folder.append(name, [{"step": step} for step in (0, 4, 8, 12)])
    with (folder.path / METRICS).open("a") as file:
        file.write('{"step": 1')
    folder.rewind(8)
    assert folder.read(METRICS) == folder.read(EVALUATIONS) == [{"step": 0}, {"step": 4}, {"step": 8}]
    assert (folder.path / METRICS).read_text().endswith("\n")
    folder.rewind(0)
    assert folder.read(METRICS) == folder.read(EVALUATIONS) == []


def test_finish_leaves_the_whole_result_or_none(folder, monkeypatch):
    folder.finish({"steps": 1})
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            folder.finish({"steps": 2})
    assert folder.result() == {"steps": 1}
    folder.finish({"steps": 3})
    assert folder.result() == {"steps": 3} and not list(folder.path.glob("*.partial"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (-float("inf"), None),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.int64(3), 3),
        (torch.tensor(0.25), 0.25),
        (torch.tensor(float("inf")), None),
        ([1, (2.5, float("nan"))], [1, [2.5, None]]),
        ({"a": {"b": float("nan")}}, {"a": {"b": None}}),
        (True, True),
        (None, None),
        ("NaN", "NaN"),
        (10**30, 10**30),
    ],
    ids=repr,
)
def test_what_is_written_is_json(value, expected):
    written = strict(to_json({"value": value}))
    assert written == {"value": expected} and type(written["value"]) is type(expected)


def test_no_file_holds_nan(folder):
    folder.append(METRICS, [{"step": 1, "loss": float("nan")}])
    folder.replace(SAMPLES, [{"reward": float("inf")}])
    folder.finish({"after": {"mean@2": float("nan")}})
    for path in folder.path.glob("*.json*"):
        assert not re.search("NaN|Infinity", path.read_text())
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            strict(line)
