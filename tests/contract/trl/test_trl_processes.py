"""Two processes with half a batch each are one process with the whole batch."""

import json
import os
import subprocess
import sys

import pytest
import torch
import trl_worker

from bandpo.microscope.file import read_file
from bandpo.microscope.reading.read import read_batches


def results(folder):
    """What the worker wrote: (the only rank of one process), (rank 0, rank 1 of two)."""
    trl_worker.main(folder)
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [sys.executable, *launch, trl_worker.__file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ("of1_rank0", "of2_rank0", "of2_rank1")
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def loss_and_gradients_are_the_union_s(runs, loss_type):
    (loss, gradients, _), (first, reduced, _), (second, also_reduced, _) = (run["losses"][loss_type] for run in runs)
    assert (first + second) / 2 == pytest.approx(loss, rel=1e-5)
    assert first != second
    assert reduced == also_reduced
    expected = torch.cat([torch.tensor(gradient) for gradient in gradients])
    given = torch.cat([torch.tensor(gradient) for gradient in reduced])
    assert (given - expected).abs().max() < 1e-5 * expected.abs().max()


def metrics_are_the_union_s(runs, loss_type):
    whole, first, second = (run["losses"][loss_type][2] for run in runs)
    assert first == second
    assert set(whole) == set(first)
    assert whole["band/clip"] > 0.1
    for name, value in whole.items():
        assert first[name] == pytest.approx(value, rel=1e-5, abs=1e-8), name


def training_keeps_the_ranks_equal(runs):
    (history, final), (other_history, other_final) = runs[1]["training"], runs[2]["training"]
    assert history == other_history
    assert final == other_final
    assert max(entry["band/clip"] for entry in history) > 0.05


def recorded_parts_are_one_batch(folder):
    """Both processes' answers of an update lie in one batch, each of them with what the loss saw of it."""
    batches = list(read_batches(folder / "batches"))
    by_step = {step: [batch for batch in batches if batch.step == step] for step in (0, 3)}
    for alone, both in by_step.values():
        parts = sorted((folder / "batches").glob(f"step_{both.step:05d}_rank_*_of_00002.safetensors"))
        assert len(parts) == 2 and len(both.mask) == sum(len(batch.mask) for part in parts for batch in read_file(part))
        assert len(both.mask) == 2 * len(alone.mask) and set(both.names) == set(alone.names)
        assert len(both.prompts) == len(both.mask) and both.settings["processes"] == 2
        sizes = torch.unique(both.groups, return_counts=True)[1]
        assert len(set(sizes.tolist())) == 1 and sizes[0] == torch.unique(alone.groups, return_counts=True)[1][0]


def test_two_processes(tmp_path):
    """bnpo is left out: it averages over the tokens of each micro-batch alone, so its halves do not add up in TRL."""
    runs = results(tmp_path)
    for loss_type in runs[0]["losses"]:
        loss_and_gradients_are_the_union_s(runs, loss_type)
        metrics_are_the_union_s(runs, loss_type)
    training_keeps_the_ranks_equal(runs)
    recorded_parts_are_one_batch(tmp_path)
