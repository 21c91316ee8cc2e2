"""What several processes recorded of one step is one batch, whichever of them lived to write it."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import bandpo
from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.errors import BatchError
from bandpo.microscope.file import as_bytes
from bandpo.microscope.parts import by_step, part_name
from bandpo.microscope.reading.read import read_batches

# One of two processes: writes three steps' parts, answers to each prompt split between both; one dies of kill -9.
WORKER = """
    import os, signal, sys
    import torch
    import bandpo

    rank, folder, dies_at = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for step in range(3):
        if rank == 1 and step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        random = torch.Generator().manual_seed(2 * step + rank)
        logp = -torch.rand(4, 5, generator=random)
        bandpo.record(folder + "/batches", logp=logp, logp_old=logp, mask=torch.ones(4, 5), step=step,
                      groups=torch.tensor([0, 0, 1, 1]), is_first_use=True, advantages=torch.ones(4),
                      max_tokens=30, wait=True)
    print("ended")
"""


def recorded(folder, dies_at=-1):
    """The batches of two processes of gloo, and how the second one ended."""
    code, workers = textwrap.dedent(WORKER), []
    for rank in (0, 1):
        command = [sys.executable, "-c", code, str(rank), str(folder), str(dies_at)]
        workers.append(subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}))
    codes = [worker.wait(timeout=240) for worker in workers]
    assert codes[0] == 0
    return folder / "batches", codes[1]


def test_two_processes_write_one_batch(tmp_path):
    folder, code = recorded(tmp_path)
    assert code == 0 and len(list(folder.iterdir())) == 6
    batches = list(read_batches(folder))
    assert [batch.step for batch in batches] == [0, 1, 2]
    for batch in batches:
        # 30 tokens for both: 15 each, one group of two answers of five tokens
        assert batch.tokens == 20 and batch.groups.tolist() == [0, 0, 0, 0] and batch.is_first_use
        assert not any("processes' parts" in note for note in batch.notes)
        assert any("2 of 4 sequences were left out, to stay within 15 tokens" in note for note in batch.notes)
    found = bandpo.inspect(folder)
    assert len(found.files) == 3 and found.total.tokens == 60
    by_hand = bandpo.inspect(sorted(folder.iterdir(), reverse=True))
    assert by_hand.total.tokens == 60 and len(by_hand.files) == 3


def test_a_killed_process_leaves_what_can_be_read(tmp_path):
    folder, code = recorded(tmp_path, dies_at=1)
    assert code == -signal.SIGKILL
    (folder / (part_name(1, 1, 2) + ".partial")).write_bytes(b"half")
    failures = []
    batches = list(read_batches(folder, on_error=lambda *failure: failures.append(failure)))
    assert [batch.tokens for batch in batches] == [20, 10, 10] and not failures
    lacking = [any("1 of 2 processes' parts of this step are there" in n for n in batch.notes) for batch in batches]
    assert lacking == [False, True, True]


def written(folder, step, rank, processes, seed, **changes):
    random = torch.Generator().manual_seed(seed)
    logp = -torch.rand(changes.pop("rows", 2), changes.pop("width", 3), generator=random)
    batch = TokenBatch(mask=logp < 0, logp=logp, logp_old=logp.bfloat16(), step=step, **changes)
    path = folder / part_name(step, rank, processes)
    path.write_bytes(as_bytes(batch))
    return path


def test_parts_of_different_widths_are_padded_and_come_in_the_order_of_ranks(tmp_path):
    for rank in (2, 0, 1):
        written(tmp_path, 7, rank, 3, seed=rank, width=3 + rank, groups=torch.tensor([rank, 9]))
    (batch,) = read_batches(tmp_path)
    assert batch.mask.shape == (6, 5) and batch.tokens == 24
    assert batch.groups.tolist() == [0, 9, 1, 9, 2, 9] and batch.logp_old.dtype == torch.bfloat16
    assert Path(batch.source).name == "step_00007_rank_*.safetensors"


def test_processes_that_hold_the_same_sequences_count_once(tmp_path):
    for rank, seed in enumerate((1, 1, 2, 2)):
        written(tmp_path, 0, rank, 4, seed)
    (batch,) = read_batches(tmp_path)
    assert batch.tokens == 12 and "2 of 4 processes hold the sequences of another" in batch.notes[0]


def test_a_step_written_by_another_number_of_processes_is_another_batch(tmp_path):
    written(tmp_path, 0, 0, 2, 0)
    written(tmp_path, 0, 1, 2, 1)
    written(tmp_path, 0, 0, 1, 2)
    assert sorted(batch.tokens for batch in read_batches(tmp_path)) == [6, 12]


def test_a_damaged_part_costs_itself_alone(tmp_path):
    written(tmp_path, 0, 0, 2, 0)
    broken = written(tmp_path, 0, 1, 2, 1)
    broken.write_bytes(broken.read_bytes()[:50])
    failures = []
    (batch,) = read_batches(tmp_path, on_error=lambda path, error: failures.append(path))
    assert failures == [broken] and "1 of 2" in batch.notes[0]
    with pytest.raises(BatchError, match="rank_00001"):
        list(read_batches(tmp_path))


def test_many_parts_are_read_in_bounded_memory(tmp_path):
    for rank in range(5):
        written(tmp_path, 0, rank, 5, rank, rows=3, width=4)
    assert [batch.tokens for batch in read_batches(tmp_path, max_tokens=24)] == [24, 24, 12]


@pytest.mark.parametrize(
    "names",
    [
        ["step_00001_rank_0_of_2.npz", "step_00001_rank_1_of_2.npz"],
        ["step_1_rank_2.safetensors", "step_1_rank_3.safetensors"],
        ["a/step_1_rank_0_of_2.safetensors", "b/step_1_rank_1_of_2.safetensors"],
    ],
)
def test_files_that_only_look_like_parts_stay_apart(names):
    assert by_step(map(Path, names)) == [[Path(name)] for name in names]
