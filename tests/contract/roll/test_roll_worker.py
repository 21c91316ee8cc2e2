"""ROLL's own actor worker and FSDP2 strategy on a CPU, its files from a checkout: the reward must rise."""

from pathlib import Path

import pytest
import tiny
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
