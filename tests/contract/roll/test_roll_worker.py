"""ROLL's own actor worker and FSDP2 strategy on a CPU, its files from a checkout: the reward must rise."""

from pathlib import Path

import pytest
import tiny
import torch
from independent import Batch, assert_close, per_token
from sources import checkout

pytestmark = [pytest.mark.exercises("real worker", version="0.3.0"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the worker's process wrote."""
    checkout("roll")
    for name in ("dacite", "opentelemetry.exporter.otlp.proto.grpc", "peft", "ray", "tensordict"):
        pytest.importorskip(name, reason="ROLL's environment: make test-engines ENGINES=roll")
    script = Path(__file__).with_name("roll_worker.py")
    return tiny.trained(script, tmp_path_factory.mktemp("roll"))


def test_the_reward_rises(trained):
    rewards = trained["rewards"]
    assert trained["worker"] == ["bandpo.engines.roll.BandActorWorker", "roll.pipeline.rlvr.actor_worker.ActorWorker"]
    assert trained["sharded"].startswith("FSDP")
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.5


def test_the_region_acts_from_the_second_pass_over_a_batch(trained):
    clipped = [[share for [share] in said["actor/band/clip@mean"]] for said in trained["metrics"]]
    assert all(len(updates) == 6 and updates[0] == 0 for updates in clipped)
    assert max(map(max, clipped)) > 0.02


def test_only_the_first_update_of_the_run_is_a_first_use(trained):
    errors = [said.get("actor/band/first_ratio_error@mean") for said in trained["metrics"]]
    assert errors[0][0][0] < 1e-5
    assert errors[1:] == [None] * (len(errors) - 1)


def test_the_workers_loss_is_the_mean_of_the_formula(trained):
    for update in trained["first"]:
        new, old, advantages = (torch.tensor(update[name]) for name in ("new", "old", "advantages"))
        x = Batch(new, old, old, advantages, torch.ones_like(new, dtype=torch.bool))
        assert_close(torch.tensor(update["loss"]), per_token("band-kl", x, delta=0.002).mean(), 1e-5)
