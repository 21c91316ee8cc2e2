"""Axolotl's own plugin manager, validation and builder make our trainer, and `axolotl train` trains with it."""

import copy
import json
import os
import subprocess
import sys

import axolotl_environment  # noqa: F401, before anything of Axolotl's
import pytest
import torch
import yaml

pytest.importorskip("axolotl.integrations.base", reason="Axolotl is not installed")

import axolotl_run
from axolotl.cli.config import load_cfg
from axolotl.integrations.base import PluginManager
from axolotl.utils.dict import DictDefault

import bandpo


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Axolotl's own reading of a configuration: plugins, validation, normalisation."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def read(bandpo, trl=None, **changes):
        return load_cfg(DictDefault(axolotl_run.configuration(tmp_path, bandpo, trl, **changes)))

    return read


def build(cfg):
    """The trainer that Axolotl's builder makes of a configuration."""
    from axolotl.core.builders import HFRLTrainerBuilder
    from trl_tiny import model, prompts, tokenizer

    builder = HFRLTrainerBuilder(cfg, model(spread=0.5), tokenizer(), None)
    builder.train_dataset = prompts()
    return builder.build(4)


METHODS = {
    "band-kl": {"band_delta": 0.01},
    "dual-clip": {"method_kwargs": {"dual_clip": 1.5}},
    "sapo": {},
    "dppo-tv": {"band_delta": 0.02},
}


@pytest.mark.exercises("real function")
@pytest.mark.parametrize("method", METHODS)
def test_the_builders_trainer_has_the_methods_loss(load, method):
    cfg = load({"method": method, **METHODS[method]}, {"loss_type": "bnpo"})
    engine = build(cfg)
    # As Axolotl imports them: after its plugins, whose options become a part of its arguments.
    from axolotl.core.trainers.grpo.trainer import AxolotlGRPOTrainer
    from trl_tiny import forward, loss_inputs

    assert isinstance(engine, AxolotlGRPOTrainer)
    assert type(engine).__name__ == "BandAxolotlGRPOTrainer"
    assert engine.reward_funcs[0].__name__ == "even_digits"
    policy = copy.deepcopy(engine.model)
    inputs = loss_inputs(policy)
    engine.current_gradient_accumulation_steps = 1
    engine.model.train()
    loss = engine.compute_loss(engine.model, dict(inputs))
    loss.backward()
    logp, _ = forward(policy.train(), inputs)
    options = dict(METHODS[method])
    hyperparameters = options.pop("method_kwargs", {}) | (
        {"delta": options["band_delta"]} if "band_delta" in options else {}
    )
    old = inputs["old_per_token_logps"]
    expected = bandpo.policy_loss(
        logp,
        old,
        inputs["advantages"],
        inputs["completion_mask"],
        method=method,
        logp_rollout=old,
        aggregation="token-mean",
        **hyperparameters,
    )
    expected.loss.backward()
    torch.testing.assert_close(loss.detach(), expected.loss.detach(), atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(engine.model.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=2e-5, rtol=1e-4)


@pytest.mark.exercises("real function")
def test_options_arrive_in_the_trainers_arguments(load):
    cfg = load({"method": "band-tv", "band_delta": 0.05, "record_every": 3, "band_metrics": False})
    assert cfg.trainer_cls == "bandpo.engines.axolotl.BandAxolotlGRPOTrainer"
    args = build(cfg).args
    assert (args.method, args.band_delta, args.record_every, args.band_metrics) == ("band-tv", 0.05, 3, False)
    assert (args.num_iterations, args.temperature) == (2, 0.9)


@pytest.mark.exercises("real function")
@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"bandpo": {"delta": 0.1}}, TypeError, ["bandpo.delta", "did you mean 'band_delta'?"]),
        ({"bandpo": {"method": "band-kl2"}}, ValueError, ["method='band-kl2'", "band-kl"]),
        ({"bandpo": {}, "trl": {"epsilon": 0.3}}, ValueError, ["epsilon=0.3 has no effect with method='band-kl'"]),
        ({"bandpo": {}, "trl": {"loss_type": "cispo"}}, ValueError, ["use method='cispo' with loss_type='dapo'"]),
        ({"bandpo": {}, "trl": {"async_prefetch": True}}, ValueError, ["trl.async_prefetch=True", "expected False"]),
        ({"bandpo": {}, "rl": "dpo"}, ValueError, ["rl='dpo'", "'grpo' and 'gdpo'"]),
        ({"bandpo": {}, "trainer_cls": "mine.Trainer"}, ValueError, ["trainer_cls='mine.Trainer'", "expected none"]),
        ({"bandpo": {}, "context_parallel_size": 2}, ValueError, ["context_parallel_size=2", "expected 1"]),
    ],
)
def test_axolotl_stops_at_what_contradicts_before_it_loads_anything(load, given, kind, words):
    with pytest.raises(kind) as caught:
        load(**given)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.exercises("real function")
def test_the_plugin_is_registered_by_the_name_of_the_page(load):
    load({})
    assert "bandpo.engines.axolotl.BandPlugin" in PluginManager.get_instance().plugins


@pytest.mark.exercises("whole trainer")
def test_axolotl_train(tmp_path):
    """Every batch is used twice: the first time the ratio is 1, the second time the region acts."""
    cfg = axolotl_run.configuration(tmp_path, {"method": "band-kl", "band_delta": 1e-3})
    (tmp_path / "run.yml").write_text(yaml.safe_dump(cfg))
    command = [sys.executable, "-m", "axolotl.cli.train", "run.yml"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    state = json.loads((tmp_path / "out" / "checkpoint-4" / "trainer_state.json").read_text())
    logged = [entry for entry in state["log_history"] if "loss" in entry]
    assert len(logged) == 4
    assert [entry["band/approx_kl"] > 1e-6 for entry in logged] == [False, True, False, True]
    assert max(entry["band/clip"] for entry in logged[1::2]) > 0.05
    assert all(entry["clip_ratio/region_mean"] == pytest.approx(entry["band/clip"], abs=1e-6) for entry in logged)
