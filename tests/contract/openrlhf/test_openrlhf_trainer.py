"""OpenRLHF's own `ActorPPOTrainer` on a CPU, with our loss where its Ray actor puts it: the reward must rise."""

from pathlib import Path

import pytest
import tiny
from sources import installed_file

pytestmark = [pytest.mark.exercises("real worker"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the trainer's process wrote."""
    installed_file("openrlhf", "openrlhf/trainer/ray/ppo_actor.py")
    for name in ("peft", "torchdata", "pylatexenc", "ray"):
        pytest.importorskip(name)
    return tiny.trained(Path(__file__).with_name("openrlhf_trainer.py"), tmp_path_factory.mktemp("openrlhf"))


def test_it_trains_with_our_loss_and_the_reward_rises(trained):
    rewards = trained["rewards"]
    assert trained["loss"] == "bandpo.engines.openrlhf.adapter.BandPolicyLoss"
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.5


def test_the_region_acts_from_the_second_update_of_a_batch(trained):
    clipped = [[one["ppo_clip_ratio"] for one in updates] for updates in trained["updates"]]
    assert all(len(updates) == 6 and updates[0] == 0 for updates in clipped)
    assert max(map(max, clipped)) > 0.02
