"""TRL's SDPOTrainer: the policy part of its own loss is the method's, and a whole training is bounded by it."""

import copy
import math
import warnings

import pytest
import torch
from packaging.version import Version
from trl_tiny import (
    TEMPERATURE,
    TRL_VERSION,
    even_digits,
    forward,
    loss_and_gradients,
    loss_inputs,
    model,
    options,
    prompts,
    tokenizer,
)

if Version("1.16") > TRL_VERSION:
    pytest.skip("SDPOTrainer is supported from TRL 1.16", allow_module_level=True)

from trl.experimental.sdpo import SDPOConfig, SDPOTrainer

import bandpo
from bandpo.engines.common import first_calls
from bandpo.engines.common.findings import FindingWarning
from bandpo.engines.trl import BandSDPOConfig, BandSDPOTrainer

METHODS = {
    "grpo": {},
    "clip-higher": {},
    "dual-clip": {"dual_clip": 1.5},
    "band-kl": {"delta": 0.01},
    "band-tv": {"delta": 0.01},
    "dppo-kl": {"delta": 0.02},
    "sapo": {},
    "gspo": {},
    "entropy": {},
    "tre": {},
}
AGGREGATIONS = {"grpo": "seq-mean-token-mean", "bnpo": "token-mean", "dapo": "token-mean"}


@pytest.fixture(autouse=True)
def _first_calls(monkeypatch):
    monkeypatch.setattr(first_calls, "_of_engine", {})


@pytest.fixture(scope="module")
def policy():
    return model(spread=0.5)


def settings(folder, **changes):
    sdpo = {"distillation_weight": 0.0, "teacher_model_kind": "live", "success_reward_threshold": 3.0}
    return options(folder, num_iterations=2, **sdpo) | changes


def trainer(config, language_model):
    kind = BandSDPOTrainer if isinstance(config, BandSDPOConfig) else SDPOTrainer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(language_model, even_digits, config, train_dataset=prompts(), processing_class=tokenizer())


def with_teacher(inputs):
    """SDPO's own entries: every other answer has a teacher, whose prompt is another."""
    ids = inputs["prompt_ids"].flip(0)
    return inputs | {
        "teacher_input_ids": torch.cat([ids, inputs["completion_ids"]], 1),
        "teacher_attention_mask": torch.cat([torch.ones_like(ids), inputs["completion_mask"]], 1),
        "self_distillation_mask": (torch.arange(len(ids)) % 2).float(),
    }


def by_policy_loss(policy, inputs, method, hyperparameters, loss_type):
    policy = copy.deepcopy(policy).train()
    logp, entropy = forward(policy, inputs)
    old = inputs["old_per_token_logps"]
    needed = bandpo.get_method(method).inputs
    further = {"entropy": entropy} if "entropy" in needed else {}
    if "logits" in needed:
        ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        logits = policy(input_ids=ids, attention_mask=mask).logits[:, -logp.shape[1] - 1 : -1]
        further = {"logits": logits / TEMPERATURE}
    out = bandpo.policy_loss(
        logp,
        old,
        inputs["advantages"],
        inputs["completion_mask"],
        method=method,
        logp_rollout=old,
        aggregation=AGGREGATIONS[loss_type],
        **further,
        **hyperparameters,
    )
    out.loss.backward()
    return out, [parameter.grad for parameter in policy.parameters()]


@pytest.mark.exercises("real function")
@pytest.mark.parametrize("loss_type", AGGREGATIONS)
@pytest.mark.parametrize("method", METHODS)
def test_the_policy_loss_is_policy_loss(tmp_path, policy, method, loss_type):
    config = BandSDPOConfig(**settings(tmp_path, method=method, method_kwargs=METHODS[method], loss_type=loss_type))
    engine = trainer(config, copy.deepcopy(policy))
    loss, gradients = loss_and_gradients(engine, loss_inputs(policy))
    expected, expected_gradients = by_policy_loss(policy, loss_inputs(policy), method, METHODS[method], loss_type)
    torch.testing.assert_close(loss, expected.loss.detach(), atol=1e-5, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=2e-5, rtol=1e-4)
    logs = {}
    engine.log(logs)
    for name in ("clip", "ratio", "approx_kl"):
        total, count = expected.metrics[name]
        assert logs[f"band/{name}"] == pytest.approx((total / count).item(), abs=1e-5), name


@pytest.mark.exercises("real function")
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_grpo_is_stock(tmp_path, policy, weight):
    inputs = with_teacher(loss_inputs(policy, masked_old=-1.0))
    found = [
        loss_and_gradients(
            trainer(config(**settings(tmp_path, distillation_weight=weight)), copy.deepcopy(policy)), inputs
        )
        for config in (lambda **given: BandSDPOConfig(method="grpo", **given), SDPOConfig)
    ]
    (loss, gradients), (stock, stock_gradients) = found
    assert torch.equal(loss, stock)
    assert all(torch.equal(one, other) for one, other in zip(gradients, stock_gradients, strict=True))


@pytest.mark.exercises("real function")
@pytest.mark.parametrize("method", ["band-kl", "sapo"])
def test_the_distillation_part_is_trls_own(tmp_path, policy, method):
    """The loss at weight w is (1 - w) times the method's and w times what TRL's is at weight 1."""
    inputs = with_teacher(loss_inputs(policy, masked_old=-1.0))

    def loss(config):
        return loss_and_gradients(trainer(config, copy.deepcopy(policy)), inputs)[0].item()

    policy_loss, both = (
        loss(BandSDPOConfig(**settings(tmp_path, method=method, distillation_weight=weight))) for weight in (0.0, 0.3)
    )
    distillation = loss(SDPOConfig(**settings(tmp_path, distillation_weight=1.0)))
    assert both == pytest.approx(0.7 * policy_loss + 0.3 * distillation, rel=1e-5)
    assert abs(distillation) > 0.01


@pytest.mark.exercises("whole trainer")
@pytest.mark.parametrize("method", ["band-kl", "sapo"])
def test_trains(tmp_path, method):
    tight = {"band-kl": {"delta": 1e-3}}.get(method, {})
    config = BandSDPOConfig(
        **settings(tmp_path, method=method, method_kwargs=tight, distillation_weight=0.5, max_steps=4)
    )
    engine = trainer(config, model())
    before = [parameter.detach().clone() for parameter in engine.model.parameters()]
    engine.train()
    assert any(not torch.equal(one, other) for one, other in zip(before, engine.model.parameters(), strict=True))
    logged = [entry for entry in engine.state.log_history if "loss" in entry]
    assert len(logged) == 4
    assert all(math.isfinite(entry["loss"]) for entry in logged)
    assert [entry["band/approx_kl"] > 1e-6 for entry in logged] == [False, True, False, True]
    assert all("sdpo/distillation_loss" in entry for entry in logged)
    assert ["band/first_ratio_error" in entry for entry in logged] == [True, False, False, False]
    assert logged[0]["band/first_ratio_error"] < 1e-5
    if method == "band-kl":
        assert max(entry["band/clip"] for entry in logged[1::2]) > 0.05


def test_one_update_a_batch_is_warned_of(tmp_path):
    config = BandSDPOConfig(**settings(tmp_path, num_iterations=1))
    with pytest.warns(FindingWarning, match="The trust region cannot act"):
        BandSDPOTrainer(model(), even_digits, config, train_dataset=prompts(), processing_class=tokenizer())


def test_a_log_prob_that_is_none_is_refused_by_its_place(tmp_path, policy):
    engine, inputs = trainer(BandSDPOConfig(**settings(tmp_path)), copy.deepcopy(policy)), loss_inputs(policy)
    inputs["old_per_token_logps"][3, 0] = math.nan
    with pytest.raises(ValueError, match=r"old_per_token_logps\[3, 0\] = nan"):
        loss_and_gradients(engine, inputs)


def ignores_everything(self, inputs, student_logits):
    return student_logits.sum()


def ignores_our_part(self, model, inputs, *_):
    return torch.zeros(())


@pytest.mark.parametrize("method", ["band-kl", "sapo"])
@pytest.mark.parametrize(
    ("name", "loss"), [("_compute_policy_loss", ignores_everything), ("compute_loss", ignores_our_part)]
)
def test_a_loss_that_does_otherwise_stops_training(tmp_path, policy, monkeypatch, name, loss, method):
    engine = trainer(BandSDPOConfig(**settings(tmp_path, method=method)), copy.deepcopy(policy))
    monkeypatch.setattr(SDPOTrainer, name, loss)
    with pytest.raises(RuntimeError, match=f"did not apply the (bounds|loss) of method='{method}'"):
        engine.compute_loss(engine.model, loss_inputs(policy))


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"distillation_weight": 1.0}, ValueError, ["distillation_weight=1.0", "leaves no policy loss", "below 1"]),
        ({"loss_type": "luspo"}, ValueError, ["loss_type='luspo'", "grpo, bnpo, dr_grpo, dapo"]),
        ({"loss_type": "cispo"}, ValueError, ["use method='cispo' with loss_type='dapo'"]),
        ({"importance_sampling_level": "sequence"}, ValueError, ["expected 'token', or method='gspo'"]),
        ({"epsilon": 0.3}, ValueError, ["epsilon=0.3 has no effect with method='band-kl'"]),
        ({"epsilon_high": 0.3, "method": "cispo"}, ValueError, ["use method_kwargs={'max_ratio': 0.3}"]),
        ({"beta": 0.1}, ValueError, ["beta=0.1", "adds no KL to the reference"]),
        ({"use_vllm": True, "method": "dppo-tv"}, ValueError, ["use_vllm=True", "keeps none of vLLM's log-probs"]),
        ({"method": "quatro"}, ValueError, ["group_rewards", "TRL's SDPOTrainer does not hand to a loss"]),
        ({"method": "dppo-topk-tv"}, ValueError, ["needs topk_logp"]),
        ({"method_kwargs": {"max_ratios": 3}}, TypeError, ["takes no 'max_ratios'"]),
    ],
)
def test_refusals(tmp_path, given, kind, words):
    with pytest.raises(kind) as caught:
        BandSDPOConfig(**settings(tmp_path, **given))
    for word in words:
        assert word in str(caught.value)


def test_stock_sdpo_takes_trls_default_weight(tmp_path):
    assert BandSDPOConfig(**settings(tmp_path, method="grpo", distillation_weight=1.0)).distillation_weight == 1.0


def test_a_stock_configuration_is_refused(tmp_path):
    with pytest.raises(TypeError, match="expected a BandSDPOConfig"):
        BandSDPOTrainer(model(), even_digits, SDPOConfig(**settings(tmp_path)))
