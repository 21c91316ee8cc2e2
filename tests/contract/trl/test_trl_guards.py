"""If TRL stops applying the bounds, training stops: each way it could is played through with a changed loss."""

import copy
import math

import pytest
import torch
from trl_tiny import BandGRPOConfig, GRPOTrainer, loss_inputs, model, options, trainer


@pytest.fixture(scope="module")
def policy():
    return model(spread=0.5)


def engine_for(policy, folder, **settings):
    engine = trainer(BandGRPOConfig(**options(folder, **settings)), copy.deepcopy(policy))
    engine.current_gradient_accumulation_steps = 1
    return engine


def ignores_everything(self, model, inputs):
    return self._get_per_token_logps_and_entropies(
        model,
        torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
        torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
        inputs["completion_ids"].size(1),
    )[0].sum()


def ignores_the_upper_side(self, model, inputs):
    return torch.clamp(torch.ones(()), 1 - self.epsilon_low).sum()


def caps_at_epsilon(self, model, inputs):
    return torch.clamp(torch.ones(3), max=self.epsilon_high).sum()


def scales_epsilon(self, model, inputs):
    return 1 + 2 * self.epsilon_high


def swaps_the_sides(self, model, inputs):
    return 1 - self.epsilon_high


def ignores_delta(self, model, inputs):
    return torch.clamp(torch.ones(inputs["completion_ids"].shape), 1 - self.epsilon_low, 1 + self.epsilon_high).sum()


def compares_with_delta(self, model, inputs):
    return (torch.ones(3) > self.args.delta).sum()


ALL = [{"method": "band-kl"}, {"method": "clip-higher"}, {"method": "dual-clip"}, {"method": "no-clip"}]
DUAL = [{"method": "dual-clip"}, {"method": "band-kl", "method_kwargs": {"dual_clip": 3.0}}]


@pytest.mark.parametrize(
    ("loss", "settings", "kind"),
    [(loss, settings, RuntimeError) for loss in (ignores_everything, ignores_the_upper_side) for settings in ALL]
    + [(loss, settings, TypeError) for loss in (caps_at_epsilon, scales_epsilon, swaps_the_sides) for settings in ALL]
    + [(ignores_delta, settings, RuntimeError) for settings in DUAL]
    + [(compares_with_delta, settings, TypeError) for settings in DUAL],
)
def test_a_loss_that_does_otherwise_stops_training(policy, tmp_path, monkeypatch, loss, settings, kind):
    engine = engine_for(policy, tmp_path, **settings)
    untouched = engine.epsilon_low, engine.epsilon_high, engine.args.delta
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", loss)
    with pytest.raises(kind):
        engine.compute_loss(engine.model, loss_inputs(policy))
    assert (engine.epsilon_low, engine.epsilon_high, engine.args.delta) == untouched


def test_the_error_says_which_method(policy, tmp_path, monkeypatch):
    engine = engine_for(policy, tmp_path)
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", ignores_everything)
    with pytest.raises(RuntimeError, match="did not apply the bounds of method='band-kl'"):
        engine.compute_loss(engine.model, loss_inputs(policy))


@pytest.mark.parametrize("method", ["band-kl", "clip-higher", "grpo"])
@pytest.mark.parametrize("value", [float("nan"), 0.5])
def test_first_batch_names_the_position_of_a_bad_log_prob(policy, tmp_path, method, value):
    engine = engine_for(policy, tmp_path, method=method)
    inputs = loss_inputs(policy)
    inputs["old_per_token_logps"][3, 0] = value
    with pytest.raises(ValueError, match=r"old_per_token_logps\[3, 0\] = "):
        engine.compute_loss(engine.model, inputs)


def test_masked_positions_may_hold_anything(policy, tmp_path):
    losses = []
    for masked_old in (-2.0, 7.0, float("nan"), -float("inf")):
        engine = engine_for(policy, tmp_path)
        inputs = loss_inputs(policy, masked_old=masked_old)
        losses.append(engine.compute_loss(engine.model, inputs).item())
    assert math.isfinite(losses[0])
    assert len(set(losses)) == 1


def test_without_old_log_probs_nothing_is_bounded(policy, tmp_path):
    inputs = loss_inputs(policy)
    del inputs["old_per_token_logps"]
    losses = []
    for method in ("grpo", "band-kl", "dual-clip"):
        engine = engine_for(policy, tmp_path, method=method)
        losses.append(engine.compute_loss(engine.model, inputs).item())
    assert losses[0] == losses[1] == losses[2]


def test_training_goes_on_without_metrics_if_trl_renames_its_helper(policy, tmp_path, monkeypatch):
    engine = engine_for(policy, tmp_path)
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", ignores_delta)
    engine.compute_loss(engine.model, loss_inputs(policy))
    logs = {}
    engine.log(logs)
    assert not any(name.startswith("band/") for name in logs)


def test_half_precision_policy(policy, tmp_path):
    """Log-probs in bfloat16: the loss and the metrics still work, in fp32."""
    engine = engine_for(copy.deepcopy(policy).bfloat16(), tmp_path)
    inputs = loss_inputs(policy)
    inputs["old_per_token_logps"] = inputs["old_per_token_logps"].bfloat16()
    loss = engine.compute_loss(engine.model, inputs)
    loss.backward()
    assert torch.isfinite(loss)
