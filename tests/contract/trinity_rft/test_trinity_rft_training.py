"""Trinity-RFT's own `trinity run`, in its mode `train`, on a CPU: the reward must rise, the loss be the formula's."""

import json
from pathlib import Path

import pytest

pytest.importorskip(
    "trinity.algorithm.policy_loss_fn", reason="Trinity-RFT is not installed: make test-engines ENGINES=trinity_rft"
)

import tiny
import torch
from independent import Batch, per_token
from trinity_rft_run import AHEAD

pytestmark = [pytest.mark.exercises("whole trainer"), pytest.mark.slow]

STEPS = 10 * AHEAD
OPTIONS = {"band-kl": {"delta": 0.002}, "grpo": {}}
each_method = pytest.mark.parametrize("method", OPTIONS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains with a method, once, and returns what the process wrote."""
    script = Path(__file__).with_name("trinity_rft_run.py")
    return tiny.trained_by_method(script, tmp_path_factory, STEPS, model={"family": "Llama"})


@each_method
def test_the_reward_rises(trained, method, record_property):
    run = trained(method)
    rewards, clipped = run["rewards"], run["logged"]["actor/band/clip"]
    assert len(clipped) == STEPS and len(rewards) == STEPS // AHEAD
    assert rewards[0] < 0.25  # by chance 4/32
    assert rewards[-1] > 0.5
    record_property("measured", json.dumps({"run": method, "rewards": rewards, "actor/band/clip": clipped}))


def test_a_radius_that_binds_clips_once_samples_are_stale(trained):
    clipped = trained("band-kl")["logged"]["actor/band/clip"]
    assert max(clipped[::AHEAD]) == 0
    assert max(clipped) > 0.02
    assert clipped != trained("grpo")["logged"]["actor/band/clip"]


@each_method
def test_every_loss_is_the_token_mean_of_the_formula(trained, method):
    """At the log-probs of the checkpoint before the step."""
    run = trained(method)
    for row, loss in zip(run["seen"], run["logged"]["actor/pg_loss"], strict=True):
        new, old, advantages = (torch.tensor(row[name]) for name in ("new", "old", "advantages"))
        x = Batch(new, old, old, advantages, torch.ones_like(new, dtype=torch.bool))
        assert loss == pytest.approx(per_token(method, x, **OPTIONS[method]).mean().item(), abs=1e-5)


@each_method
def test_only_the_first_update_of_the_run_is_a_first_use(trained, method):
    [error] = trained(method)["logged"]["actor/band/first_ratio_error"]
    assert error < 1e-5
