"""A run's folder: what may be claimed, what a kill leaves behind, and that what is written is JSON."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from bandpo.store.folder import EVALUATIONS, METRICS, SAMPLES, LostFolderError, RunFolder
from bandpo.store.machine import environment
from bandpo.store.records import to_json

CONFIG = {"model": "countdown", "seed": 3, "reward": ["a.b"], "learning_rate": 1e-6, "method_kwargs": {"max_ratio": 10}}


NEW = ("bandpo.json", "config.yaml", "environment.json", ".lock", ".holder")


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


def checkpoint(folder, step, keep=None):
    path = folder.path / f"checkpoint-{step}"
    path.mkdir()
    (path / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    (path / "model.safetensors").write_bytes(bytes(range(256)))
    folder.seal_checkpoint(step, processes=1, keep=keep)
    return path


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
    assert folder.claim(CONFIG) == str(newest)


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
    assert "not empty and holds no run of bandpo's" in refusal(RunFolder(tmp_path))
    assert "not empty and holds no run of bandpo's" in refusal(RunFolder(tmp_path), overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    assert "is a file" in refusal(RunFolder(tmp_path / "run"))


def test_overwrite_moves_the_old_run_aside_with_all_that_is_in_it(folder, capsys):
    for name in (METRICS, EVALUATIONS, SAMPLES):
        folder.append(name, [{"step": 1}])
    checkpoint(folder, 5)
    (folder.path / "model").mkdir()
    (folder.path / "model" / "weights.txt").write_text("precious")
    (folder.path / "notes.txt").write_text("mine")
    folder.finish({"steps": 1})
    before = {path.relative_to(folder.path): path.is_file() and path.read_bytes() for path in folder.path.rglob("*")}
    assert folder.claim({"seed": 9}, overwrite=True) is None
    assert {path.name for path in folder.path.iterdir()} == {*NEW}
    assert folder.config() == {"seed": 9} and folder.last_checkpoint() is None
    old = folder.path.with_name("first.old-1")
    assert before == {path.relative_to(old): path.is_file() and path.read_bytes() for path in old.rglob("*")}
    assert f"the run that was here was moved to {old}" in capsys.readouterr().err
    folder.claim(CONFIG, overwrite=True)
    assert RunFolder(folder.path.with_name("first.old-2")).config() == {"seed": 9}


def test_overwrite_keeps_a_link_and_moves_what_it_leads_to(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    folder = RunFolder(tmp_path / "run")
    folder.claim(CONFIG)
    folder.claim({"seed": 9}, overwrite=True)
    assert folder.path.is_symlink() and RunFolder(tmp_path / "disk").config() == {"seed": 9}
    assert RunFolder(tmp_path / "disk.old-1").config() == CONFIG


@pytest.mark.parametrize("inside", ["", "checkpoint-5"])
def test_the_current_folder_is_not_moved(folder, monkeypatch, inside):
    checkpoint(folder, 5)
    monkeypatch.chdir(folder.path / inside)
    with pytest.raises(ValueError, match="holds the current folder"):
        RunFolder(folder.path).claim(CONFIG, overwrite=True)
    assert folder.config() == CONFIG


@pytest.mark.parametrize(
    "files",
    [
        {"config.yaml": "name: mine", "model/weights.txt": "precious"},
        {"result.json": "{}"},
        {"checkpoint-5/trainer_state.json": "{}", "metrics.jsonl": '{"step": 1}\n'},
        {".git": "a folder of mine"},
        {"config.yaml": "", "environment.json": "{}"},
    ],
    ids=lambda files: "+".join(files),
)
def test_what_only_looks_like_a_run_is_refused_and_left_alone(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for overwrite in (False, True):
        assert "holds no run of bandpo's: choose another" in refusal(RunFolder(tmp_path), overwrite=overwrite)
    found = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == files


def test_files_of_others_in_a_run_are_no_obstacle(folder):
    newest = checkpoint(folder, 5)
    (folder.path / "notes.txt").write_text("mine")
    assert folder.claim(CONFIG) == str(newest) and (folder.path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("left", range(1, 6))
def test_a_kill_while_the_folder_is_made_does_not_block_it(tmp_path, left):
    made = RunFolder(tmp_path / "made")
    made.claim(CONFIG)
    (tmp_path / "killed").mkdir()
    order = [".lock", ".holder", "bandpo.json", "environment.json", "config.yaml"]
    for name in order[: left - 1]:
        (tmp_path / "killed" / name).write_bytes((made.path / name).read_bytes())
    if order[left - 1] != ".lock":
        (tmp_path / "killed" / f"{order[left - 1]}.partial").write_text("mod")
    killed = RunFolder(tmp_path / "killed")
    assert killed.claim(CONFIG) is None and killed.config() == CONFIG


def test_a_folder_in_which_another_process_runs_is_refused(folder):
    folder._lock.release()
    code = "import sys; from bandpo.store.lock import FolderLock; from pathlib import Path; "
    code += "lock = FolderLock(Path(sys.argv[1])); lock.acquire(); print('held'); input()"
    command = [sys.executable, "-u", "-c", code, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        busy = f"process {other.pid} is running in it"
        assert busy in refusal(RunFolder(folder.path))
        assert busy in refusal(RunFolder(folder.path), {"seed": 1}, overwrite=True)
        assert RunFolder(folder.path).holder() == f"process {other.pid}"
        assert folder.config() == CONFIG
        other.kill()
    assert RunFolder(folder.path).holder() is None
    assert RunFolder(folder.path).claim(CONFIG) is None


DAMAGED = {"not YAML": "a: [", "empty": "", "a list": "- a", "a number": "3", "not UTF-8": b"\xff", "tag": "a: !!int x"}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_configuration_is_named_with_a_way_on(folder, content):
    (folder.path / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"config\.yaml is damaged .*--overwrite"):
        folder.config()
    with pytest.raises(ValueError, match=r"config\.yaml is damaged"):
        folder.claim(CONFIG)
    assert not folder.holds(CONFIG)
    assert folder.claim(CONFIG, overwrite=True) is None and folder.holds(CONFIG)


def test_a_run_without_its_configuration_is_not_begun_again(folder):
    checkpoint(folder, 5)
    (folder.path / "config.yaml").unlink()
    assert "without its config.yaml" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"steps": NaN}', '{"a": 1}{'])
def test_a_damaged_result_is_an_unfinished_run(folder, content, capsys):
    (folder.path / "result.json").write_text(content)
    assert not folder.is_complete()
    with pytest.raises(ValueError, match=r"result\.json is damaged"):
        folder.result()
    assert folder.claim(CONFIG) is None and "result.json is damaged" in capsys.readouterr().err
    folder.finish({"steps": 1})
    assert folder.is_complete()


@pytest.mark.parametrize("content", [None, "", "[]", "{"])
def test_a_damaged_environment_is_written_anew(folder, content, capsys):
    path = folder.path / "environment.json"
    path.unlink() if content is None else path.write_text(content)
    folder.claim(CONFIG)
    assert strict(path.read_text()) == environment() and "environment.json is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 2, "run": "a"}', '{"schema": 1}', '{"schema": 1, "run": 3}']
)
def test_a_damaged_mark_makes_the_folder_nobodys(folder, content):
    (folder.path / "bandpo.json").write_text(content)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"bandpo\.json.*: choose another folder, or move this one away"):
            RunFolder(folder.path).claim(CONFIG, overwrite)


@pytest.mark.parametrize(
    ("name", "is_folder"), [(METRICS, True), (EVALUATIONS, True), (SAMPLES, True), ("model", False)]
)
def test_what_stands_in_the_place_of_a_file_is_known_before_the_run(folder, name, is_folder):
    (folder.path / name).mkdir() if is_folder else (folder.path / name).touch()
    assert f"in the place of {name}" in refusal(folder)


@pytest.mark.parametrize("how", ["deleted", "emptied", "replaced", "mark damaged"])
def test_a_folder_that_is_lost_ends_the_run(folder, how):
    shutil.move(folder.path, folder.path.with_name("away"))
    if how != "deleted":
        folder.path.mkdir()
    if how == "replaced":
        RunFolder(folder.path.with_name("other")).claim(CONFIG)
        shutil.copytree(folder.path.with_name("other"), folder.path, dirs_exist_ok=True)
    if how == "mark damaged":
        (folder.path / "bandpo.json").write_text("{")
    for write in (folder.check, lambda: folder.append(METRICS, [{}]), lambda: folder.finish({"steps": 1})):
        with pytest.raises(LostFolderError, match="was deleted or replaced"):
            write()
    assert not (folder.path / METRICS).exists() and not (folder.path / "result.json").exists()


def test_no_checkpoint(folder, tmp_path):
    assert folder.last_checkpoint() is None
    assert RunFolder(tmp_path / "nowhere").last_checkpoint() is None


def test_what_is_passed_over_is_said_and_the_run_starts_anew_where_nothing_is_whole(folder, capsys):
    whole, damaged = checkpoint(folder, 4), checkpoint(folder, 8)
    (folder.path / "checkpoint-best").mkdir()
    (damaged / "model.safetensors").write_bytes(b"")
    assert folder.claim(CONFIG) == str(whole)
    said = capsys.readouterr().err
    assert "checkpoint-8 is passed over: model.safetensors has 0 bytes of 256" in said
    assert "checkpoint-best is ignored" in said
    (whole / "manifest.json").unlink()
    assert folder.claim(CONFIG) is None
    assert "no checkpoint is whole: the run starts from its beginning" in capsys.readouterr().err


def test_old_checkpoints_go_when_the_new_one_is_whole_and_nothing_else_goes(folder):
    other = RunFolder(folder.path.with_name("other"))
    other.claim(CONFIG)
    shutil.copytree(checkpoint(other, 1), folder.path / "checkpoint-1")
    for name in ("checkpoint-2", "checkpoint-best"):
        (folder.path / name).mkdir()
    for step in (3, 4, 9):
        checkpoint(folder, step)
    checkpoint(folder, 5, keep=2)
    left = {path.name for path in folder.path.glob("checkpoint-*")}
    assert left == {f"checkpoint-{name}" for name in ("1", "2", "best", "4", "5", "9")}


def test_a_resumed_run_has_the_records_of_its_checkpoint(folder, capsys):
    for name in (METRICS, EVALUATIONS):
        folder.append(name, [{"step": step, "text": "é"} for step in (0, 4)])
    newest = checkpoint(folder, 4)
    for name in (METRICS, EVALUATIONS):
        folder.append(name, [{"step": 8}])
    with (folder.path / METRICS).open("a") as file:
        file.write('{"step": 1')
    folder.rewind(str(newest))
    kept = [{"step": 0, "text": "é"}, {"step": 4, "text": "é"}]
    assert folder.read(METRICS) == folder.read(EVALUATIONS) == kept
    assert capsys.readouterr().err == ""
    folder.rewind(None)
    assert folder.read(METRICS) == folder.read(EVALUATIONS) == []


@pytest.mark.parametrize("content", [b"", b'{"step": 0}\n', b"\xff\n", b"[1]\n{}\n", None])
def test_damaged_records_are_restored_from_the_checkpoint(folder, content, capsys):
    records = [{"step": 0, "mean@2": 0.5}, {"step": 4, "mean@2": 0.25}]
    folder.append(EVALUATIONS, records)
    newest = checkpoint(folder, 4)
    path = folder.path / EVALUATIONS
    path.unlink() if content is None else path.write_bytes(content)
    folder.rewind(str(newest))
    assert folder.read(EVALUATIONS) == records
    assert "evaluations.jsonl was damaged: restored from checkpoint-4" in capsys.readouterr().err


def test_lines_within_a_file_that_are_damaged_are_left_out_and_said(folder, capsys):
    folder.append(METRICS, [{"step": 1}])
    with (folder.path / METRICS).open("a") as file:
        file.write('{"ste\n[1]\n\n{"step": NaN}\n')
    folder.append(METRICS, [{"step": 5}])
    assert folder.read(METRICS, say_damage=True) == [{"step": 1}, {"step": 5}]
    assert "metrics.jsonl: 3 damaged lines are left out (2, 3, 5)" in capsys.readouterr().err


def test_a_last_line_cut_short_is_left_out(folder, capsys):
    folder.append(METRICS, [{"step": 1}, {"step": 2, "text": "é"}])
    whole = (folder.path / METRICS).read_bytes()
    second = len('{"step": 1}\n')
    for end in range(len(whole) + 1):
        (folder.path / METRICS).write_bytes(whole[:end])
        # A line counts from its closing brace on.
        expected = (end >= second - 1) + (end >= len(whole) - 1)
        assert len(folder.read(METRICS, say_damage=True)) == expected
    assert capsys.readouterr().err == ""


def test_records_come_back_whatever_they_say(folder):
    records = [{"step": 0, "text": 'a\nb\u2028c\x85d\x1ce\r\x0c "quoted" π 🦊'}, {"step": 1, "text": ""}]
    folder.append(SAMPLES, records)
    folder.append(SAMPLES, records)
    assert folder.read(SAMPLES) == records * 2
    folder.replace(SAMPLES, records)
    assert folder.read(SAMPLES) == records
    assert folder.read("absent.jsonl") == []


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
