"""prime-rl's own `train` on a CPU, its files from a checkout: the reward must rise, the loss must be the formula's."""

from pathlib import Path

import pytest
import tiny
import torch
from independent import Batch, assert_close, per_token
from prime_rl_trainer import AHEAD
from sources import checkout

pytestmark = [pytest.mark.exercises("real worker", version="0.8.0"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the trainer's process wrote."""
    checkout("prime-rl")
    for name in ("pydantic_config", "torchtitan.distributed"):
        pytest.importorskip(name, reason="prime-rl's environment: make test-engines ENGINES=prime_rl")
    script, folder = Path(__file__).with_name("prime_rl_trainer.py"), tmp_path_factory.mktemp("prime_rl")
    return tiny.trained(script, folder, steps=10 * AHEAD, model={"family": "Llama", "tied": False})


def test_the_reward_rises(trained):
    rewards = trained["rewards"]
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.5


def test_the_region_acts_once_samples_are_stale(trained):
    clipped = [row["band/clip/mean"] for row in trained["logged"]]
    assert len(clipped) == 10 * AHEAD
    assert max(clipped[::AHEAD]) == 0
    assert max(clipped) > 0.02


def test_first_uses_are_those_of_the_samplers_policy(trained):
    errors = [row.get("band/first_ratio_error/mean") for row in trained["logged"]]
    assert errors[0] < 5e-3  # both are in bf16
    assert errors[1:] == [None] * (len(errors) - 1)


def test_the_loss_is_the_token_mean_of_the_formula(trained):
    for rows, logged in zip(trained["tokens"], trained["logged"], strict=False):
        new, old, advantages, mask = (
            torch.tensor([row[name] for row in rows])
            for name in ("trainer_logprobs", "inference_logprobs", "advantages", "loss_mask")
        )
        expected = per_token("band-kl", Batch(new, old, old, advantages, mask), delta=0.002).sum() / mask.sum()
        micro_batches = 1 + max(row["micro_step"] for row in rows)
        assert_close(torch.tensor(micro_batches * logged["loss/mean"]), expected, 1e-5)
