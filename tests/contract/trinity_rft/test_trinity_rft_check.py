"""What needs no Trinity-RFT: `bandpo doctor trinity_rft`."""

import importlib.metadata

import pytest
from snippets import blocks

from bandpo.engines.common.options import flat
from bandpo.engines.trinity_rft.adapter import PATH
from bandpo.engines.trinity_rft.check import check

GOOD = {
    "algorithm.policy_loss_fn": PATH,
    "algorithm.policy_loss_fn_args.method": "band-kl",
    "algorithm.policy_loss_fn_args.loss_agg_mode": "token-mean",
    "synchronizer.sync_interval": 4,
}


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "distribution", version)


def levels(**changes):
    return [finding.level for finding in check({**GOOD, **changes})][1:]


def test_good_configurations():
    assert levels() == ["ok", "ok", "ok"]
    assert levels(**{"algorithm.policy_loss_fn_args.method_kwargs.max_ratio": 9}) == ["ok", "ok", "ok"]
    assert levels(**{"synchronizer.sync_interval": 1, "synchronizer.sync_offset": 1}) == ["ok", "ok", "ok"]
    assert levels(**{"algorithm.policy_loss_fn_args.anchor": "rollout"}) == ["ok", "ok", "ok"]
    defaults = {"algorithm.policy_loss_fn": PATH, "synchronizer.sync_interval": 4}
    assert [finding.level for finding in check(defaults)][1:] == ["ok", "ok", "ok"]


def test_the_documented_configuration():
    yaml = pytest.importorskip("yaml")
    options = flat(yaml.safe_load(blocks("trinity_rft", "yaml")[0]))
    assert [finding.level for finding in check(options)][1:] == ["ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"algorithm.policy_loss_fn": "ppo"}, "fail", "another loss"),
        ({"algorithm.algorithm_type": "dpo"}, "fail", "algorithm_type='dpo'"),
        ({"algorithm.algorithm_type": "mix"}, "fail", "algorithm_type='mix'"),
        ({"algorithm.policy_loss_fn_args.loss_agg_mode": None}, "fail", "no loss_agg_mode"),
        ({"algorithm.policy_loss_fn_args.clip_range": 0.2}, "fail", "'clip_range'"),
        ({"algorithm.policy_loss_fn_args.method": "clip-cov"}, "fail", "needs the whole batch"),
        ({"algorithm.bypass_old_logprobs": False}, "fail", "recomputed for each batch"),
        ({"synchronizer.sync_interval": 1}, "warn", "rounding and staleness alone"),
    ],
)
def test_what_is_found(changes, level, words):
    found = [finding for finding in check({**GOOD, **changes})[1:] if finding.level != "ok"]
    assert [finding.level for finding in found] == [level] and words in found[0].text


def test_several_passes_over_a_batch_act_with_recomputed_log_probs():
    epochs = {"trainer.trainer_config.actor.ppo_epochs": 2}
    assert levels(**epochs, **{"algorithm.bypass_old_logprobs": False}) == ["ok", "ok", "ok"]


def test_a_verl_that_the_trainer_does_not_start_with(monkeypatch):
    installed = {"trinity-rft": "0.6.0", "verl": "0.9.1"}
    monkeypatch.setattr(importlib.metadata, "version", installed.__getitem__)
    monkeypatch.setattr(importlib.metadata, "distribution", installed.__getitem__)
    assert "verl 0.9.1: supported below 0.9" in [finding.text for finding in check(GOOD)]
    assert levels(**{"trainer.trainer_type": "tinker"}) == ["ok", "ok", "ok"]
    installed["verl"] = "0.8.0"
    assert levels() == ["ok", "ok", "ok"]
