"""Batches come back as they were given, bounded, and nothing about them stops training."""

import threading
import warnings

import pytest
import torch

import bandpo
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.file import as_bytes, read_file
from bandpo.microscope.recorder import Recorder, RecordWarning


def batch(rows=6, width=5, **changes):
    generator = torch.Generator().manual_seed(0)
    logp = -torch.rand(rows, width, generator=generator)
    given = {"mask": torch.ones(rows, width, dtype=torch.bool), "logp": logp, "logp_old": logp.bfloat16(), "step": 3}
    return TokenBatch(**given | changes)


def test_a_batch_comes_back_as_it_was(tmp_path):
    whole = batch(
        advantages=torch.ones(6, 5), entropy=torch.rand(6, 5), token_ids=torch.arange(30).view(6, 5),
        groups=torch.arange(6) // 2, rewards=torch.rand(6), is_first_use=True, settings={"method": "grpo"},
        texts={0: "a\u202e", 7: "</script>"}, prompts=[f"p{n}" for n in range(6)], notes=("a note",),
    )  # fmt: skip
    recorder = Recorder(tmp_path)
    path = recorder.record(whole)
    recorder.wait()
    (found,) = read_file(path)
    for name in ("mask", *whole.names):
        assert torch.equal(getattr(found, name), getattr(whole, name)), name
    for name in ("step", "is_first_use", "settings", "texts", "prompts", "notes"):
        assert getattr(found, name) == getattr(whole, name), name
    assert found.logp_old.dtype == torch.bfloat16 and found.dtypes["logp_old"] == "bfloat16"


def test_what_training_changes_afterwards_is_not_what_was_recorded(tmp_path):
    given = batch()
    recorder = Recorder(tmp_path)
    path = recorder.record(given)
    before = given.logp.clone()
    given.logp.zero_()
    recorder.wait()
    assert torch.equal(next(read_file(path)).logp, before)


@pytest.mark.parametrize(("most", "rows"), [(30, 6), (29, 4), (10, 2), (7, 1), (1, 1)])
def test_a_file_is_bounded_and_keeps_whole_groups_where_one_fits(tmp_path, most, rows):
    recorder = Recorder(tmp_path, max_tokens=most)
    path = recorder.record(batch(groups=torch.tensor([0, 1, 0, 1, 2, 2])))
    recorder.wait()
    (found,) = read_file(path)
    assert len(found.mask) == rows
    if rows in (2, 4):
        assert sorted(found.groups.tolist()) == [0, 0, 1, 1][:rows]
    if rows < 6:
        assert f"{6 - rows} of 6 sequences were left out" in found.notes[0]


def test_a_slow_disk_holds_nothing_up_and_is_said_once(tmp_path, monkeypatch):
    started, release = threading.Event(), threading.Event()

    def slow(given):
        started.set()
        release.wait(20)
        return as_bytes(given)

    monkeypatch.setattr("bandpo.microscope.recorder.as_bytes", slow)
    recorder = Recorder(tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recorder.record(batch(step=0))
        started.wait(20)
        for step in range(1, 9):
            recorder.record(batch(step=step))
    release.set()
    recorder.wait()
    assert recorder.left_out == 6 and len(list(tmp_path.iterdir())) == 3
    assert [warning.category for warning in said] == [RecordWarning]


def test_a_folder_that_vanishes_costs_the_batch_and_not_the_run(tmp_path, monkeypatch):
    def fails(given):
        raise OSError("disk full")

    monkeypatch.setattr("bandpo.microscope.recorder.as_bytes", fails)
    recorder = Recorder(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorder.record(batch())
        recorder.wait()
    assert recorder.left_out == 1 and not list(tmp_path.glob("*.safetensors"))


def test_the_public_function_takes_what_policy_loss_takes(tmp_path):
    logp = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    path = bandpo.record(
        tmp_path, logp=logp, logp_old=logp.detach(), advantages=torch.ones(1), mask=torch.ones(1, 2), wait=True
    )
    (found,) = read_file(path)
    assert found.advantages.tolist() == [[1.0, 1.0]] and path.name == "step_00000.safetensors"


@pytest.mark.parametrize(
    "wrong",
    [
        {"mask": torch.zeros(1, 2)},
        {"mask": torch.ones(2)},
        {"logp_old": torch.zeros(1, 3)},
        {"groups": torch.zeros(2)},
        {"prompts": ["a", "b"]},
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, wrong):
    given = {"logp": torch.tensor([[-1.0, -2.0]]), "mask": torch.ones(1, 2), **wrong}
    with pytest.raises(BatchError):
        bandpo.record(tmp_path, **given)


@pytest.mark.parametrize("most", [0, -1, 1.5, True])
def test_a_bound_that_is_none_is_refused(tmp_path, most):
    with pytest.raises(ValueError, match="max_tokens"):
        Recorder(tmp_path, max_tokens=most)


@pytest.mark.parametrize("size", [0, 7, 8, 40, 200])
def test_a_file_cut_short_is_a_sentence(tmp_path, size):
    path = tmp_path / "step_00000.safetensors"
    path.write_bytes(as_bytes(batch())[:size])
    with pytest.raises(BatchError, match="step_00000"):
        list(read_file(path))


def test_a_newer_version_is_refused_by_its_number(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(as_bytes(batch()).replace(b'\\"version\\": 1', b'\\"version\\": 2'))
    with pytest.raises(BatchError, match="version 2"):
        list(read_file(path))


def test_a_large_file_comes_in_parts(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(as_bytes(batch(rows=7, prompts=[str(n) for n in range(7)])))
    parts = list(read_file(path, max_tokens=10))
    assert [len(part.mask) for part in parts] == [2, 2, 2, 1]
    assert [prompt for part in parts for prompt in part.prompts] == [str(n) for n in range(7)]
