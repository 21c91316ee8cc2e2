"""Every registered method trains by name, and what some of them need of a whole generation is really there."""

import json

import pytest
import torch
from packaging.version import Version
from trl_tiny import (
    COMPLETION_LENGTH,
    TEMPERATURE,
    TRL_VERSION,
    BandGRPOConfig,
    forward,
    options,
    prompts,
    trainer,
    weights,
)

import bandpo
from bandpo.engines.trl.inputs import STATE_FILE
from tests.methods import ENTRIES

NEEDS = {name: entry.in_trl.arguments for name, entry in ENTRIES.items() if entry.in_trl is not None}
ACTING = {"max_steps": 2, "num_iterations": 2, "steps_per_generation": 2, "per_device_train_batch_size": 8}


def engine_for(folder, method, **changes):
    return trainer(BandGRPOConfig(**options(folder, method=method, **(ACTING | NEEDS.get(method, {}) | changes))))


@pytest.mark.parametrize("method", ENTRIES)
def test_trains_by_name(tmp_path, method):
    engine = engine_for(tmp_path, method)
    before = weights(engine.model)
    engine.train()
    assert any(not torch.equal(before[name], after) for name, after in weights(engine.model).items())
    logged = [entry for entry in engine.state.log_history if "loss" in entry]
    assert len(logged) == 2
    assert all(entry["loss"] == entry["loss"] for entry in logged)
    assert all("band/clip" in entry and "band/approx_kl" in entry for entry in logged)
    assert ("band/bound_low" in logged[-1]) == (bandpo.get_method(method).family == "interval")
    assert max(entry["band/approx_kl"] for entry in logged) > 0


def test_methods_train_differently(tmp_path):
    """Same seed and data: every method that acts at this tightness ends at weights of its own."""
    tight = {
        "no-clip": {},
        "band-kl": {"delta": 1e-4},
        "dppo-tv": {"delta": 1e-3},
        "maspo": {"sigma": 0.01},
        "cfpo": {"eps": 0.01},
        "drpo": {"delta": 0.01},
        "sapo": {"tau_pos": 50.0, "tau_neg": 70.0},
        "ce-gppo": {"eps_low": 0.001, "eps_high": 0.001, "beta_low": 0.1, "beta_high": 0.1},
        "cispo": {"max_ratio": 1.0},
        "kl-cov": {"fraction": 0.5, "coef": 0.5},
        "gspo": {},
        "tre": {"coef": 0.5},
    }
    ends = {}
    for method, hyperparameters in tight.items():
        engine = engine_for(tmp_path, method, method_kwargs=hyperparameters, max_steps=4)
        engine.train()
        ends[method] = torch.cat([weight.flatten() for weight in weights(engine.model).values()])
    names = list(ends)
    for i, one in enumerate(names):
        assert all(not torch.equal(ends[one], ends[other]) for other in names[:i]), one


def generated(engine):
    engine.model.train()
    rows = [row for row in prompts().select(range(4)) for _ in range(4)]
    return engine._generate_and_score_completions(rows)


def test_top_k_lists_are_the_samplers(tmp_path):
    engine = engine_for(tmp_path, "dppo-topk-kl", band_top_k=3)
    batch = generated(engine)
    mask = batch["completion_mask"].bool()
    ids, logp = batch["topk_ids"], batch["topk_logp_rollout"]
    assert ids.shape == (16, batch["completion_ids"].shape[1], 3)
    has_sampled = (ids == batch["completion_ids"].unsqueeze(-1)).any(-1)
    assert has_sampled[mask].all()
    tokens = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    length = batch["completion_ids"].shape[1]
    with torch.no_grad():
        logits = engine.model(input_ids=tokens, attention_mask=attention).logits[:, -length - 1 : -1] / TEMPERATURE
    log_p = torch.log_softmax(logits, -1)
    torch.testing.assert_close(logp[mask], log_p.gather(-1, ids)[mask], atol=1e-5, rtol=1e-5)
    # The likeliest two are always listed; the third place may have gone to the sampled token.
    likeliest = log_p.topk(2, -1).indices
    assert torch.equal(ids[..., :2][mask], likeliest[mask])


def test_before_the_first_update_no_token_has_left_its_top_k_region(tmp_path):
    """The lists of both policies are the same then: every token keeps its gradient, whatever the radius."""
    engine = engine_for(tmp_path, "dppo-topk-tv", max_steps=1, method_kwargs={"delta": 1e-4})
    engine.train()
    assert engine.state.log_history[0]["band/clip"] == 0
    engine = engine_for(tmp_path, "dppo-topk-tv", max_steps=4, method_kwargs={"delta": 1e-4})
    engine.train()
    assert max(entry.get("band/clip", 0) for entry in engine.state.log_history) > 0.1


def test_group_rewards_are_those_of_the_answers_own_group(tmp_path):
    batch = generated(engine_for(tmp_path, "quatro"))
    rewards = batch["group_rewards"]
    assert rewards.shape == (16, 4)
    for row in range(16):
        group = batch["advantages"][row // 4 * 4 : row // 4 * 4 + 4]
        assert torch.equal(rewards[row], group)


def test_logits_of_the_completion_are_tapped(tmp_path):
    engine = engine_for(tmp_path, "tre")
    seen = []
    method = type(bandpo.get_method("tre"))
    apply = method.apply

    def spying(self, tokens, **given):
        if "logits" in given:
            seen.append((tokens.logp.detach(), given["logits"]))
        return apply(self, tokens, **given)

    batch = generated(engine)
    engine.current_gradient_accumulation_steps = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(method, "apply", spying)
        engine.compute_loss(engine.model, batch).backward()
    (logp, logits) = seen[0]
    mask = batch["completion_mask"].bool()
    found = torch.log_softmax(logits, -1).gather(-1, batch["completion_ids"].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(found[mask], logp[mask], atol=1e-5, rtol=1e-5)
    expected = forward(engine.model, batch)[0]
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)
    assert logits.shape[1] <= COMPLETION_LENGTH


def test_flexible_entropy_follows_training_progress(tmp_path):
    """Bounds of the first half are wide above, those of the second half wide below."""
    engine = engine_for(tmp_path, "flex-entropy", max_steps=8)
    engine.train()
    logged = [entry for entry in engine.state.log_history if "band/bound_low" in entry]
    early, late = logged[0], logged[5]
    assert early["band/bound_low"] == pytest.approx(0.8)
    assert early["band/log_bound_high"] > 0.2
    assert late["band/bound_low"] < 0.79
    assert late["band/log_bound_high"] == pytest.approx(0.18232, abs=1e-4)


def test_the_entropy_switch_survives_a_checkpoint(tmp_path):
    settings = {"method_kwargs": {"strategy": "od"}, "max_steps": 8, "save_strategy": "steps", "save_steps": 4}
    engine = engine_for(tmp_path, "flex-entropy", **settings)
    engine.train()
    saved = json.loads((tmp_path / "checkpoint-4" / STATE_FILE).read_text())
    assert saved["initial"] > 0
    assert engine._entropy_switch.state.initial == saved["initial"]
    resumed = engine_for(tmp_path, "flex-entropy", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert resumed._entropy_switch.state == engine._entropy_switch.state
    final, again = weights(engine.model), weights(resumed.model)
    assert all(torch.equal(final[name], again[name]) for name in final)


@pytest.mark.skipif(Version("1.8") > TRL_VERSION, reason="TRL before 1.8 has no entropy bonus")
def test_trls_adaptive_entropy_bonus_goes_with_any_method(tmp_path):
    if not hasattr(BandGRPOConfig, "use_adaptive_entropy"):
        pytest.skip("this TRL has no adaptive entropy bonus")
    for method in ("band-kl", "maspo"):
        settings = {"use_adaptive_entropy": True, "entropy_coef_delta": 0.01, "entropy_target": 100.0, "max_steps": 4}
        engine = engine_for(tmp_path, method, **settings)
        engine.train()
        assert max(entry.get("entropy_coef", 0) for entry in engine.state.log_history) == pytest.approx(0.04)
    with pytest.raises(ValueError, match="adds two bonuses"):
        engine_for(tmp_path, "tre", entropy_coef=0.1)


def test_evaluation_has_its_own_metrics_for_methods_without_bounds(tmp_path):
    config = BandGRPOConfig(
        **options(
            tmp_path,
            method="dppo-topk-kl",
            eval_strategy="steps",
            eval_steps=1,
            per_device_eval_batch_size=16,
            **ACTING,
        )
    )
    engine = trainer(config, eval_dataset=prompts().select(range(8)))
    engine.train()
    evaluations = [entry for entry in engine.state.log_history if "eval_loss" in entry]
    assert evaluations
    assert all("eval_band/weight" in entry for entry in evaluations)
