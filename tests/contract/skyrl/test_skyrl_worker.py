"""SkyRL's real FSDP policy worker on a CPU: the loop closed, the reward must rise, the loss must be the formula's."""

from pathlib import Path

import pytest

pytest.importorskip("skyrl.train.config", reason="SkyRL is not installed: make test-engines ENGINES=skyrl")

import tiny
import torch
from independent import Batch, assert_close, per_token

pytestmark = [pytest.mark.exercises("real worker"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the worker's process wrote."""
    script = Path(__file__).with_name("skyrl_worker.py")
    return tiny.trained(script, tmp_path_factory.mktemp("skyrl"), SKYRL_DUMP_INFRA_LOG_TO_STDOUT="1")


def test_the_reward_rises(trained):
    rewards = trained["rewards"]
    assert trained["sharded"].startswith("FSDP")
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.5


def test_the_region_acts_from_the_second_update_of_a_batch(trained):
    clipped = [[one["loss_metrics/band/clip"] for one in updates] for updates in trained["said"]]
    assert all(updates[0] == 0 for updates in clipped)
    assert max(map(max, clipped)) > 0.02


def test_the_workers_loss_is_the_sum_of_the_formula(trained):
    old, advantages = (torch.tensor(trained["first"][name]) for name in ("old", "advantages"))
    for update in trained["said"][0]:
        new = torch.tensor(update["new"])
        x = Batch(new, old, old, advantages, torch.ones_like(new, dtype=torch.bool))
        assert_close(torch.tensor(update["policy_loss"]), per_token("band-kl", x, delta=0.002).sum(), 1e-4)
