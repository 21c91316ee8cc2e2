"""Oumi's way to verl: `verl_config_overrides` merged into verl's configuration, then instantiated by verl's workers."""

from pathlib import Path

import pytest

pytest.importorskip("verl.workers.config", reason="verl is not installed: make test-engines ENGINES=verl")

import verl
import yaml
from omegaconf import OmegaConf
from snippets import blocks
from verl.utils.config import omega_conf_to_dataclass

from bandpo.engines.verl import BandPolicyLossConfig

pytestmark = pytest.mark.exercises("real function")


def test_the_documented_overrides_reach_the_worker():
    overrides = yaml.safe_load(blocks("others", "yaml")[0])["training"]["verl_config_overrides"]
    stock = OmegaConf.load(Path(verl.__file__).parent / "trainer/config/_generated_ppo_trainer.yaml")
    merged = OmegaConf.merge(stock, OmegaConf.create(overrides))
    # What Oumi sets from its own options and verl leaves open.
    merged.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu = 1
    OmegaConf.resolve(merged)
    chosen = omega_conf_to_dataclass(merged.actor_rollout_ref.actor).policy_loss
    assert isinstance(chosen, BandPolicyLossConfig)
    assert (chosen.loss_mode, chosen.method, chosen.band_delta) == ("bandpo", "band-kl", 0.05)
