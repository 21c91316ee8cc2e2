"""Two processes with half a batch each are one process with the whole batch."""

import json
import os
import subprocess
import sys

import pytest
import torch
import trl_worker


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


def test_two_processes(tmp_path):
    """bnpo is left out: it averages over the tokens of each micro-batch alone, so its halves do not add up in TRL."""
    runs = results(tmp_path)
    for loss_type in runs[0]["losses"]:
        loss_and_gradients_are_the_union_s(runs, loss_type)
        metrics_are_the_union_s(runs, loss_type)
    training_keeps_the_ranks_equal(runs)
