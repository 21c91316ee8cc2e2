"""A finished run whose files changed since is not finished: it says which file, and is finished again."""

import pytest

from bandpo.store.folder import EVALUATIONS, METRICS, RunFolder
from bandpo.store.seal import SEAL

CONFIG = {"method": "band-kl"}


def finished(path):
    folder = RunFolder(path)
    folder.claim(CONFIG)
    folder.append(METRICS, [{"step": 1}])
    folder.append(EVALUATIONS, [{"step": 1, "mean": 0.5}])
    folder.finish({"after": {"mean": 0.5}})
    folder._lock.release()
    return RunFolder(path)


def test_an_untouched_run_is_complete(tmp_path):
    folder = finished(tmp_path / "run")
    assert folder.is_complete() and folder.damage() is None


@pytest.mark.parametrize("name", [METRICS, EVALUATIONS, "result.json"])
@pytest.mark.parametrize("content", [None, b"", b"{}\n", b'{"step": 2}\n', b"\xff\n"])
def test_a_changed_file_is_named_and_the_run_goes_on(tmp_path, name, content, capsys):
    folder = finished(tmp_path / "run")
    if content is None:
        (folder.path / name).unlink()
    else:
        (folder.path / name).write_bytes(content)
    assert not folder.is_complete()
    if (name, content) != ("result.json", None):
        assert name in str(folder.damage())
        assert folder.claim(CONFIG) is None and name in capsys.readouterr().err


def test_a_run_of_an_older_release_has_no_seal_and_is_complete(tmp_path):
    folder = finished(tmp_path / "run")
    (folder.path / SEAL).unlink()
    assert folder.is_complete()


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"files": {"metrics.jsonl": 1}}'])
def test_a_damaged_seal_does_not_pass(tmp_path, content):
    folder = finished(tmp_path / "run")
    (folder.path / SEAL).write_text(content)
    assert not folder.is_complete() and "is damaged" in str(folder.damage())


def test_a_seal_names_no_file_outside_its_folder(tmp_path):
    folder = finished(tmp_path / "run")
    (folder.path / SEAL).write_text('{"files": {"../secret": {"bytes": 0, "sha256": ""}}}')
    (tmp_path / "secret").write_text("")
    assert folder.damage() == "secret is missing"
