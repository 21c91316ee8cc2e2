"""slime's own `train.py` on a CPU, with real Megatron: the reward must rise, every step's loss be the formula's."""

import json
from pathlib import Path

import pytest
import tiny
import torch
from independent import Batch, assert_close, gradient, per_token
from slime_trainer import GROUP
from sources import checkout

pytestmark = [pytest.mark.exercises("whole trainer", version="0.3.1"), pytest.mark.slow]
SCRIPT, UPDATES = Path(__file__).with_name("slime_trainer.py"), 4
OPTIONS = {"band-kl": {"delta": 0.002}, "grpo": {}}


def needed():
    checkout("slime")
    checkout("megatron-lm")
    for name in ("megatron.core", "ray", "transformers"):
        pytest.importorskip(name, reason="slime's environment: make test-engines ENGINES=slime")


@pytest.fixture(scope="module", params=[("band-kl", 2), ("grpo", 1)], ids=["band-kl, 2 ranks", "grpo, 1 rank"])
def trained(request, tmp_path_factory):
    """The method, tensor-parallel ranks, and what the trainer's process wrote."""
    needed()
    method, ranks = request.param
    return method, ranks, tiny.trained(SCRIPT, tmp_path_factory.mktemp("slime"), method, RANKS=str(ranks))


def logged(run, name):
    return [row[name] for row in run["logged"] if name in row]


def steps(run):
    """Micro-batches of every optimizer step."""
    of_step = len(run["losses"]) // len(logged(run, "train/loss"))
    return [run["losses"][i : i + of_step] for i in range(0, len(run["losses"]), of_step)]


def batch(row):
    new, old, advantages = (torch.tensor(row[name]) for name in ("new", "log_probs", "advantages"))
    return Batch(new.requires_grad_(), old, old, advantages, torch.ones_like(old, dtype=torch.bool))


def test_the_reward_rises(trained, record_property):
    method, ranks, run = trained
    rewards, clipped = logged(run, "rollout/raw_reward"), logged(run, "train/pg_clipfrac")
    measured = {"first reward": rewards[0], "last reward": rewards[-1], "largest clip share": max(clipped)}
    record_property("measured", json.dumps({f"{method}, {ranks} tensor-parallel": measured}))
    assert len(rewards) == 12
    assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
    assert sum(rewards[-3:]) / 3 > 0.6


def test_every_checkpoint_was_saved(trained):
    assert trained[2]["saved"] == [*(f"iter_{i:07d}" for i in range(12)), "latest_checkpointed_iteration.txt"]


def test_logits_are_shared_by_the_ranks(trained):
    _, ranks, run = trained
    assert {row["sharded"] for row in run["losses"]} == {tiny.VOCABULARY // ranks}


def test_the_region_acts_from_the_second_update_of_a_batch(trained):
    clipped, moved = logged(trained[2], "train/pg_clipfrac"), logged(trained[2], "train/ppo_kl")
    assert len(clipped) == 12 * UPDATES
    assert max(clipped[::UPDATES]) == 0 and max(map(abs, moved[::UPDATES])) < 1e-6
    assert max(clipped) > 0.1


def test_the_loss_of_every_step_is_the_mean_of_the_formula(trained):
    method, _, run = trained
    expected = [per_token(method, batch(row), **OPTIONS[method]).mean(-1).sum() for row in run["losses"]]
    assert_close(torch.tensor([row["loss"] for row in run["losses"]]), torch.stack(expected), 1e-5)
    of_steps = torch.stack(expected).view(12 * UPDATES, -1).sum(1) / GROUP
    assert_close(torch.tensor(logged(run, "train/loss")), of_steps, 1e-5)


def test_the_logged_clip_share_counts_tokens_without_a_slope(trained):
    method, _, run = trained
    for rows, share in zip(steps(run), logged(run, "train/pg_clipfrac"), strict=True):
        whole = [batch(row) for row in rows]
        slopes = [gradient(per_token(method, x, **OPTIONS[method]).sum(), x.new) for x in whole]
        stopped = [(slope == 0) & (x.advantages != 0) for slope, x in zip(slopes, whole, strict=True)]
        assert share == pytest.approx(torch.cat(stopped).double().mean().item(), abs=1e-6)


def test_the_sampler_had_the_weights_that_slime_saved(trained):
    assert max(logged(trained[2], "train/train_rollout_logprob_abs_diff")) < 0.01  # both are in bf16


def test_a_method_that_is_no_interval_is_refused_as_megatron_starts(tmp_path):
    needed()
    with pytest.raises(AssertionError, match="method='sapo' is a gate, slime can be handed intervals only"):
        tiny.trained(SCRIPT, tmp_path, "sapo", RANKS="1")
    assert not (tmp_path / "logged").exists()
