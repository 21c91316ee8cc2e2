"""NeMo-RL's own `examples/run_grpo.py`, by our launcher, on a CPU: what is asserted stands in its own log."""

import json
from pathlib import Path

import pytest
import tiny
import torch
from independent import Batch, assert_close, per_token
from sources import checkout

pytestmark = [pytest.mark.exercises("whole trainer", version="0.7.0"), pytest.mark.slow]

STEPS, UPDATES = 12, 4
OPTIONS = {"band-kl": {"delta": 0.002}, "grpo": {}}
each_method = pytest.mark.parametrize("method", OPTIONS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains with a method, once, and returns what the process wrote."""
    checkout("nemo-rl")
    for name in ("hydra", "prettytable", "ray", "tensorboard", "tensordict"):
        pytest.importorskip(name, reason="NeMo-RL's environment: make test-engines ENGINES=nemo_rl")
    # transformers reads our words with a Llama as they are, with a Qwen2 as bytes.
    script = Path(__file__).with_name("nemo_rl_run.py")
    return tiny.trained_by_method(script, tmp_path_factory, STEPS, model={"family": "Llama"})


@each_method
def test_the_reward_rises_until_the_checkpoint(trained, method, record_property):
    run = trained(method)
    rewards, clipped = run["logged"]["train/reward"], run["logged"]["train/band/clip"]
    assert len(rewards) == STEPS and run["checkpoints"] == [f"step_{STEPS}"]
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.5
    record_property("measured", json.dumps({"run": method, "train/reward": rewards, "train/band/clip": clipped}))


def test_a_radius_that_binds_clips_from_the_second_update_on(trained):
    """What NeMo-RL logs is the mean over a step's updates of what the loss said of its micro-batches."""
    run = trained("band-kl")
    shares = torch.tensor([row["band/clip"] for row in run["seen"]]).view(STEPS, UPDATES, -1).sum(-1)
    assert shares[:, 0].max() == 0 and shares.max() > 0.02
    assert run["logged"]["train/band/clip"] == pytest.approx(shares.mean(1).tolist(), abs=1e-5)


def test_band_kl_clips_other_tokens_than_grpo(trained):
    band, grpo = (trained(method)["logged"] for method in OPTIONS)
    assert band["train/reward"][0] == grpo["train/reward"][0]
    assert band["train/band/clip"] != grpo["train/band/clip"]


@each_method
def test_every_loss_is_the_formulas_over_the_global_tokens(trained, method):
    for row in trained(method)["seen"]:
        new, old, advantages, mask = (
            torch.tensor(row[name]) for name in ("new", "prev_logprobs", "advantages", "token_mask")
        )
        tokens = per_token(method, Batch(new, old, old, advantages, mask > 0), **OPTIONS[method])
        assert row["class"] == "BandLoss"
        assert_close(torch.tensor(row["loss"]), tokens.sum() / row["tokens"], 1e-5)


@each_method
def test_only_the_first_update_of_the_run_is_a_first_use(trained, method):
    [error] = trained(method)["logged"]["train/band/first_ratio_error"]
    assert error < 1e-5
