"""AReaL's own `PPOTrainer` on a CPU, with its FSDP engine and our loss: it must learn, by the formula's gradient."""

from pathlib import Path

import pytest
import tiny
import torch
from independent import Batch, assert_close, gradient, per_token
from sources import installed_file

pytestmark = [pytest.mark.exercises("whole trainer"), pytest.mark.slow]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the trainer's process wrote, by run."""
    installed_file("areal", "areal")
    for name in ("flask", "lark", "ray", "swanlab", "trackio", "wandb"):
        pytest.importorskip(name)
    script = Path(__file__).with_name("areal_trainer.py")
    return tiny.trained(script, tmp_path_factory.mktemp("areal"), TORCH_COMPILE_DISABLE="1")


def clipped(run):
    """Share of the tokens of every update that AReaL counts as clipped, a list for each batch."""
    return [[sum(one["clipped"] for one in update) / tokens(update) for update in batch] for batch in run["batches"]]


def tokens(update):
    return sum(len(one["new"]) for one in update)


def micro_batches(run):
    return [one for batch in run["batches"] for update in batch for one in update]


def assert_formula(run, name, anchor="old", **options):
    """Assert that loss and gradient of every micro-batch are the mean of the formula over its tokens."""
    for one in micro_batches(run):
        new, proximal, sampler, advantages = (
            torch.tensor([one[field]]) for field in ("new", "proximal", "sampler", "advantages")
        )
        x = Batch(new.requires_grad_(), proximal, sampler, advantages, torch.ones_like(new, dtype=torch.bool))
        expected = per_token(name, x, anchor, **options).mean()
        assert_close(torch.tensor(one["loss"]), expected, 1e-4)
        assert_close(torch.tensor([one["gradient"]]), gradient(expected, new), 1e-4)


def test_it_trains_with_our_engine_and_the_reward_rises(trained):
    run = trained["first"]
    assert run["engine"] == "bandpo.engines.areal.FSDPPPOActor" and run["sharded"].startswith("FSDP")
    assert sum(run["rewards"][:2]) / 2 < 0.25  # by chance 4/32
    assert sum(run["rewards"][-3:]) / 3 > 0.45


def test_the_sampler_was_updated_after_every_batch_and_a_checkpoint_written(trained):
    run = trained["first"]
    assert run["loads"] == len(run["rewards"]) == 12
    assert run["saved"] == ["__0_0.distcp"]


def test_the_region_acts_from_the_second_update_of_a_batch(trained):
    shares = clipped(trained["first"])
    assert all(len(updates) == 4 and updates[0] == 0 for updates in shares)
    assert max(map(max, shares)) > 0.1
    assert all(one["clipped"] == pytest.approx(one["band/clip"] * 8) for one in micro_batches(trained["first"]))


def test_only_the_first_update_of_the_run_is_a_first_use(trained):
    name = "ppo_actor/update/band/first_ratio_error"
    first, *later = trained["first"]["exported"]
    assert first[f"{name}__count"] == 8 and first[name] < 1e-4
    assert not any(name in data for data in later)


def test_loss_and_gradient_of_an_interval_are_the_formulas(trained):
    assert_formula(trained["first"], "band-kl", delta=0.0005)


def test_loss_and_gradient_of_a_method_without_interval_are_the_formulas(trained):
    assert_formula(trained["sapo"], "sapo")
    assert not any(map(any, clipped(trained["sapo"])))


def test_a_method_anchored_on_the_sampler_takes_its_stale_log_probs(trained):
    run = trained["dppo-tv"]
    assert [data["ppo_actor/update/version_stats/sample_staleness_theta_avg"] for data in run["exported"]] == [0, 1]
    assert_formula(run, "dppo-tv", "rollout")
    with pytest.raises(AssertionError):
        assert_formula(run, "dppo-tv", "old")
