"""What must hold of a run of `train.py`, of slime and of its forks: the tests of a class, one for each engine.

    class TestSlimeTrainer(CustomRunTests):
        name, script = "slime", Path(...)

with a fixture `trained` in its module: the method, the number of ranks, and what the run wrote.
"""

import json

import pytest
import tiny
import torch
from custom_run import DELTA, GROUP, UPDATES
from independent import Batch, assert_close, gradient, per_token

STEPS = 12


class CustomRunTests:
    """Attributes: the engine's name and the script that runs it."""

    def per_token(self, method, x):
        return per_token(method, x, **({"delta": DELTA} if method == "band-kl" else {}))

    def batches(self, run):
        """The micro-batches that the loss was handed, the new log-probs with a gradient."""
        for row in run["losses"]:
            new, old, advantages = (torch.tensor(row[name]) for name in ("new", "old", "advantages"))
            yield Batch(new.requires_grad_(), old, old, advantages, torch.ones_like(old, dtype=torch.bool))

    def logged(self, run, name):
        return [row[name] for row in run["logged"] if name in row]

    def test_the_reward_rises(self, trained, record_property):
        method, ranks, run = trained
        rewards, clipped = (self.logged(run, name) for name in ("rollout/raw_reward", "train/pg_clipfrac"))
        measured = {"method": method, "ranks": ranks, "rewards": rewards, "largest clip share": max(clipped)}
        record_property("measured", json.dumps(measured))
        assert len(rewards) == STEPS
        assert sum(rewards[:2]) / 2 < 0.25  # by chance 4/32
        assert sum(rewards[-3:]) / 3 > 0.6

    def test_checkpoints_are_saved(self, trained):
        assert len(trained[2]["saved"]) == STEPS

    def test_the_region_acts_from_the_second_update_of_a_batch(self, trained):
        clipped, moved = (self.logged(trained[2], name) for name in ("train/pg_clipfrac", "train/ppo_kl"))
        assert len(clipped) == STEPS * UPDATES
        assert max(clipped[::UPDATES]) == 0 and max(map(abs, moved[::UPDATES])) < 1e-6
        assert max(clipped) > 0.1

    def test_the_loss_of_every_step_is_the_mean_of_the_formula(self, trained):
        method, _, run = trained
        expected = torch.stack([self.per_token(method, x).mean(-1).sum() for x in self.batches(run)])
        assert_close(torch.tensor([row["loss"] for row in run["losses"]]), expected, 1e-5)
        of_steps = expected.view(STEPS * UPDATES, -1).sum(1) / GROUP
        assert_close(torch.tensor(self.logged(run, "train/loss")), of_steps, 1e-5)

    def test_the_logged_clip_share_counts_tokens_without_a_slope(self, trained):
        method, _, run = trained
        stopped = [
            (gradient(self.per_token(method, x).sum(), x.new) == 0) & (x.advantages != 0) for x in self.batches(run)
        ]
        shares = torch.stack(stopped).double().view(STEPS * UPDATES, -1).mean(1)
        assert self.logged(run, "train/pg_clipfrac") == pytest.approx(shares.tolist(), abs=1e-6)

    def test_the_sampler_had_the_weights_that_were_saved(self, trained):
        assert max(self.logged(trained[2], "train/train_rollout_logprob_abs_diff")) < 0.01  # both are in bf16

    def test_a_method_that_is_no_interval_is_refused_before_the_first_update(self, needed, tmp_path):
        words = f"method='sapo' is a gate, {self.name} can be handed intervals only"
        with pytest.raises(AssertionError, match=words):
            tiny.trained(self.script, tmp_path, "sapo", RANKS="1")
        logged = tmp_path / "logged"
        assert not logged.exists() or "train/loss" not in logged.read_text()
