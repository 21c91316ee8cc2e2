"""Files that are whole or not there."""

import os

import pytest

from bandpo.files import durable
from bandpo.files.durable import sync, sync_tree, write_file


@pytest.mark.parametrize(("data", "expected"), [("é\n", "é\n".encode()), (b"\xff\r\n", b"\xff\r\n"), ("", b"")])
def test_what_is_written_is_there_to_the_byte(tmp_path, data, expected):
    for _ in range(2):
        write_file(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch, step):
    write_file(tmp_path / "file", "old")
    with monkeypatch.context() as patch:
        patch.setattr(
            f"{'os' if step == 'fsync' else 'pathlib.Path'}.{step}", lambda *_: (_ for _ in ()).throw(OSError)
        )
        with pytest.raises(OSError):
            write_file(tmp_path / "file", "new and longer")
    assert (tmp_path / "file").read_text() == "old"
    write_file(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


def test_the_file_is_flushed_before_it_moves_and_the_folder_after(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, durable.Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: events.append(os.readlink(f"/proc/self/fd/{number}")) or fsync(number)
    )
    monkeypatch.setattr(durable.Path, "replace", lambda a, b: events.append("moved") or replace(a, b))
    write_file(tmp_path / "file", "text")
    assert events == [str(tmp_path / "file.partial"), "moved", str(tmp_path)]


def test_a_tree_is_flushed_whole_and_its_folders_last(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("one", "a/two", "a/b/three"):
        (tmp_path / name).write_text(name)
    flushed = []
    monkeypatch.setattr(durable, "sync", lambda path: flushed.append(path.relative_to(tmp_path).as_posix()))
    sync_tree(tmp_path)
    assert sorted(flushed) == [".", "a", "a/b", "a/b/three", "a/two", "one"]
    for folder in ("a/b", "a", "."):
        inside = [name for name in flushed if name != folder and (folder == "." or name.startswith(f"{folder}/"))]
        assert all(flushed.index(name) < flushed.index(folder) for name in inside)


def test_only_a_file_system_that_cannot_flush_is_forgiven(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(22, "Invalid argument")))
    sync(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(OSError, match="Input/output"):
        sync(tmp_path)
