"""Checkpoints: whole to the byte or passed over, whatever happened to whichever file."""

import json
import shutil

import pytest

from bandpo.store import checkpoints
from bandpo.store.checkpoints import fault, newest_whole, read_manifest, remove_oldest, seal, step_of

RUN = "0123456789abcdef"
FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "part/of_0.bin")


def make(folder, step, run=RUN, processes=1):
    path = folder / f"checkpoint-{step}"
    for number, name in enumerate(FILES):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(bytes([step % 256, number]) * 50)
    seal(path, run, processes)
    return path


def flip(path, position=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "flipped": flip,
    "zeros": lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def test_what_was_sealed_is_whole(tmp_path):
    path = make(tmp_path, 40, processes=3)
    assert fault(path, RUN) is None
    manifest = read_manifest(path)
    assert (manifest["run"], manifest["step"], manifest["processes"]) == (RUN, 40, 3)
    assert sorted(manifest["files"]) == sorted(FILES)
    assert not list(tmp_path.rglob("*.partial"))
    seal(path, RUN, 3)
    assert fault(path, RUN) is None and sorted(read_manifest(path)["files"]) == sorted(FILES)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_an_older_whole_checkpoint_is_taken_and_the_damage_is_named(tmp_path, name, damage):
    older, newest = make(tmp_path, 9), make(tmp_path, 10)
    DAMAGES[damage](newest / name)
    found, passed_over = newest_whole(tmp_path, RUN)
    assert found == older
    (line,) = passed_over
    assert line.startswith("checkpoint-10 is passed over: ") and name in line
    DAMAGES[damage](older / name)
    assert newest_whole(tmp_path, RUN)[0] is None


def test_every_byte_of_a_manifest_counts(tmp_path):
    path = make(tmp_path, 3)
    whole, contents = (path / "manifest.json").read_bytes(), read_manifest(path)
    for position in range(len(whole)):
        flip(path / "manifest.json", position)
        if not whole[position : position + 1].isspace():
            with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
                read_manifest(path)
        (path / "manifest.json").write_bytes(whole)
    assert read_manifest(path) == contents


@pytest.mark.parametrize(
    "contents", [[], {}, None, 3, {"files": {}}, {"schema": 1, "run": RUN, "step": 3, "processes": 1, "files": {}}]
)
def test_a_manifest_of_something_else_is_damaged(tmp_path, contents):
    path = make(tmp_path, 3)
    (path / "manifest.json").write_text(json.dumps(contents))
    assert fault(path, RUN).startswith("manifest.json is damaged")
    assert newest_whole(tmp_path, RUN)[0] is None


def test_a_manifest_of_a_later_schema_is_not_guessed_at(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_SCHEMA", 2)
    path = make(tmp_path, 3)
    monkeypatch.undo()
    assert fault(path, RUN) == "manifest.json has schema 2, expected 1"


def test_a_checkpoint_of_another_run_or_step_is_none_of_this_run(tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copytree(make(tmp_path / "other", 90, run="another"), tmp_path / "checkpoint-90")
    whole = make(tmp_path, 4)
    shutil.copytree(whole, tmp_path / "checkpoint-80")
    found, passed_over = newest_whole(tmp_path, RUN)
    assert found == whole
    assert passed_over == [
        "checkpoint-90 is passed over: it belongs to another run",
        "checkpoint-80 is passed over: it was written at step 4",
    ]


@pytest.mark.parametrize("name", ["best", "", "4-old", "04", "-4", "4.0", "٤", "1e3", "latest"])
def test_folders_of_other_names_are_ignored_with_a_word(tmp_path, name):
    whole = make(tmp_path, 4)
    (tmp_path / f"checkpoint-{name}").mkdir()
    assert newest_whole(tmp_path, RUN) == (whole, [f"checkpoint-{name} is ignored: expected checkpoint-STEP"])
    assert step_of(tmp_path / f"checkpoint-{name}") is None


def test_files_named_like_checkpoints_are_none(tmp_path):
    (tmp_path / "checkpoint-7").write_text("")
    assert newest_whole(tmp_path, RUN) == (None, [])
    assert newest_whole(tmp_path / "nowhere", RUN) == (None, [])


def test_the_newest_is_the_highest_number(tmp_path):
    paths = [make(tmp_path, step) for step in (9, 100, 20)]
    assert newest_whole(tmp_path, RUN) == (paths[1], [])


def test_what_cannot_be_read_is_passed_over(tmp_path, monkeypatch):
    path = make(tmp_path, 4)
    monkeypatch.setattr(checkpoints, "_sha256", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    assert fault(path, RUN).endswith("cannot be read (Input/output error)")


def test_only_sealed_checkpoints_of_the_run_are_removed(tmp_path):
    for step in (1, 2, 3, 8):
        make(tmp_path, step)
    make(tmp_path, 0, run="another")
    (tmp_path / "checkpoint-1" / "manifest.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoint-4").symlink_to(make(tmp_path / "elsewhere", 4))
    remove_oldest(tmp_path, RUN, step=3, keep=1)
    assert {path.name for path in tmp_path.glob("checkpoint-*")} == {f"checkpoint-{n}" for n in (0, 1, 3, 4, 8)}
    assert (tmp_path / "elsewhere" / "checkpoint-4" / "manifest.json").is_file()


def test_a_removal_cut_short_is_finished_the_next_time(tmp_path, monkeypatch):
    paths = [make(tmp_path, step) for step in (1, 2)]
    removed = []
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", lambda path: removed.append(path))
        remove_oldest(tmp_path, RUN, step=2, keep=1)
    assert removed == [paths[0] / "part", paths[0]]
    assert "missing" in fault(paths[0], RUN) and (paths[0] / "manifest.json").is_file()
    remove_oldest(tmp_path, RUN, step=2, keep=1)
    assert [*tmp_path.iterdir()] == paths[1:]
