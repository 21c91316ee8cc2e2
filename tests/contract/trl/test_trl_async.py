"""TRL's AsyncGRPOTrainer: its own loss is the method's, and a whole training is bounded by it."""

import copy
import math

import pytest
import torch
import trl_tiny
from packaging.version import Version
from trl_tiny import (
    COMPLETION_LENGTH,
    TEMPERATURE,
    TRL_VERSION,
    even_digits,
    loss_and_gradients,
    loss_inputs,
    model,
    prompts,
    tokenizer,
)

if Version("1.16") > TRL_VERSION:
    pytest.skip("AsyncGRPOTrainer is supported from TRL 1.16", allow_module_level=True)

from transformers import AutoModelForCausalLM
from trl.experimental.async_grpo import AsyncGRPOConfig, AsyncGRPOTrainer
from trl.experimental.async_grpo.async_grpo_trainer import DataCollatorForRollout, TreeRow
from trl_async import Sampler, log_probs, sample, saved_model, use_stand_ins

import bandpo
from bandpo.engines.common import first_calls
from bandpo.engines.trl import BandAsyncGRPOConfig, BandAsyncGRPOTrainer

# Every method that one completion and its log-probs are enough for, tight enough to act on the batch.
METHODS = {
    "grpo": {},
    "clip-higher": {},
    "dual-clip": {"dual_clip": 1.5},
    "two-sided": {},
    "no-clip": {},
    "band-kl": {"delta": 0.01},
    "band-tv": {"delta": 0.01},
    "dppo-tv": {"delta": 0.02},
    "sapo": {},
    "cispo": {"max_ratio": 1.2},
    "gspo": {},
    "entropy": {},
}


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    use_stand_ins(monkeypatch)
    monkeypatch.setattr(first_calls, "_of_engine", {})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return saved_model(tmp_path_factory.mktemp("model"), spread=0.5)


@pytest.fixture(scope="module")
def samples(path):
    """Completions of five prompts, four to each, whose sampler differs from the model both ways."""
    inputs = loss_inputs(model(spread=0.5), rows=20)
    made = []
    for row in range(20):
        prompt = inputs["prompt_ids"][row // 4 * 4].tolist()
        completion = inputs["completion_ids"][row, : 1 + 3 * row % COMPLETION_LENGTH].tolist()
        with torch.no_grad():
            logp = log_probs(AutoModelForCausalLM.from_pretrained(path), prompt + completion)
        noise = 0.5 * torch.randn(len(logp), generator=torch.Generator().manual_seed(row))
        logp = (logp + noise * (1 - logp.exp()).sqrt()).clamp_max(-1e-3)
        made.append(sample(prompt, completion, inputs["advantages"][row].item(), row // 4, 0, logp))
    return made


def options(folder, **changes):
    own = {"learning_rate": 1e-3, "per_device_train_batch_size": 8, "token_budget": 0, "max_steps": 6}
    return trl_tiny.options(folder, **own) | changes


def trainer(path, config, sampler=None):
    kind = BandAsyncGRPOTrainer if isinstance(config, BandAsyncGRPOConfig) else AsyncGRPOTrainer
    sampler = sampler or Sampler(path)
    return kind(
        path,
        even_digits,
        config,
        train_dataset=prompts(),
        processing_class=tokenizer(),
        rollout_worker=sampler,
        weight_transfer=sampler,
    )


def packed(samples):
    """A micro-batch as TRL's own collator packs it."""
    row = TreeRow()
    for one in samples:
        names = ("input_ids", "completion_mask", "old_log_probs", "advantage", "group_id", "metrics")
        row.add({name: getattr(one, name) for name in names})
    return DataCollatorForRollout(pad_token_id=0).torch_call([[row]])


def by_policy_loss(path, samples, method, hyperparameters):
    """The loss by the definition: every completion alone through the model, then bandpo's own function."""
    policy = AutoModelForCausalLM.from_pretrained(path).train()
    rows, width = len(samples), max(len(one.input_ids) for one in samples)
    logp, old, mask, entropy = (torch.zeros(rows, width) for _ in range(4))
    for at, one in enumerate(samples):
        length = len(one.input_ids) - 1
        logits = policy(input_ids=torch.as_tensor(one.input_ids)[None]).logits[0, :-1] / TEMPERATURE
        log_p = torch.log_softmax(logits, -1)
        entropy[at, :length] = -(log_p.exp() * log_p).sum(-1)
        logp[at, :length] = log_p.gather(-1, torch.as_tensor(one.input_ids)[1:, None])[:, 0]
        old[at, :length] = torch.as_tensor(one.old_log_probs)[1:].float()
        mask[at, :length] = torch.as_tensor(one.completion_mask)[1:].float()
    advantages = torch.tensor([one.advantage for one in samples])
    inputs = {"entropy": entropy} if "entropy" in bandpo.get_method(method).inputs else {}
    out = bandpo.policy_loss(
        logp,
        old,
        advantages,
        mask,
        method=method,
        anchor="rollout",
        logp_rollout=old,
        aggregation="token-mean",
        **inputs,
        **hyperparameters,
    )
    out.loss.backward()
    return out, [parameter.grad for parameter in policy.parameters()]


@pytest.mark.exercises("real function")
@pytest.mark.parametrize("method", METHODS)
def test_the_trainers_own_loss_is_policy_loss(tmp_path, path, samples, method):
    config = BandAsyncGRPOConfig(**options(tmp_path, method=method, method_kwargs=METHODS[method]))
    engine = trainer(path, config)
    loss, gradients = loss_and_gradients(engine, packed(samples))
    expected, expected_gradients = by_policy_loss(path, samples, method, METHODS[method])
    torch.testing.assert_close(loss, expected.loss.detach(), atol=1e-5, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, atol=2e-5, rtol=1e-4)
    logs = {}
    engine.log(logs)
    for name, (total, count) in expected.metrics.items():
        if name in ("clip", "clip_high", "clip_low", "ratio", "approx_kl"):
            assert logs[f"band/{name}"] == pytest.approx((total / count).item(), abs=1e-5), name
    if method in ("dual-clip", "band-kl", "band-tv", "dppo-tv"):
        assert logs["band/clip"] > 0.05


@pytest.mark.exercises("real function")
def test_grpo_is_stock(tmp_path, path, samples):
    ours = loss_and_gradients(trainer(path, BandAsyncGRPOConfig(**options(tmp_path, method="grpo"))), packed(samples))
    stock = loss_and_gradients(trainer(path, AsyncGRPOConfig(**options(tmp_path))), packed(samples))
    assert torch.equal(ours[0], stock[0])
    assert all(torch.equal(one, other) for one, other in zip(ours[1], stock[1], strict=True))


@pytest.mark.exercises("real function")
def test_trls_own_clip_metrics_count_by_the_bounds(tmp_path, path, samples):
    engine = trainer(path, BandAsyncGRPOConfig(**options(tmp_path, band_delta=0.01)))
    loss_and_gradients(engine, packed(samples))
    logs = {}
    engine.log(logs)
    assert logs["clip_ratio/region_mean"] == pytest.approx(logs["band/clip"], abs=1e-6)


@pytest.mark.exercises("real function")
def test_a_sampler_of_other_weights_is_seen_before_the_first_step(tmp_path, path, samples):
    engine = trainer(path, BandAsyncGRPOConfig(**options(tmp_path)))
    loss_and_gradients(engine, packed(samples))
    first, later = {}, {}
    engine.log(first)
    assert first["band/first_ratio_error"] > 0.05
    torch.optim.SGD(engine.model.parameters(), lr=1e-6).step()
    loss_and_gradients(engine, packed(samples))
    engine.log(later)
    assert "band/clip" in later and "band/first_ratio_error" not in later


@pytest.mark.exercises("whole trainer")
@pytest.mark.parametrize(
    "method", ["band-kl", *(pytest.param(m, marks=pytest.mark.slow) for m in ("dual-clip", "gspo"))]
)
def test_trains(tmp_path, path, method):
    """The first step is on policy; then the sampler lags behind, as the trainer fetches ahead, and the region acts."""
    tight = {"band-kl": {"delta": 1e-3}}.get(method, {})
    config = BandAsyncGRPOConfig(
        **options(tmp_path, method=method, method_kwargs=tight, weight_sync_steps=2, gradient_accumulation_steps=2)
    )
    engine = trainer(path, config)
    before = [parameter.detach().clone() for parameter in engine.model.parameters()]
    engine.train()
    assert any(not torch.equal(one, other) for one, other in zip(before, engine.model.parameters(), strict=True))
    logged = [entry for entry in engine.state.log_history if "loss" in entry]
    assert len(logged) == 6
    assert all(math.isfinite(entry["loss"]) for entry in logged)
    assert logged[0]["band/approx_kl"] < 1e-6
    assert logged[0]["band/first_ratio_error"] < 1e-5
    assert not any("band/first_ratio_error" in entry for entry in logged[1:])
    assert max(entry["band/approx_kl"] for entry in logged) > 1e-4
    if method == "band-kl":
        assert logged[0]["band/clip"] == 0
        assert max(entry["band/clip"] for entry in logged) > 0.05


def test_a_log_prob_that_is_none_is_refused_by_its_place(tmp_path, path, samples):
    engine = trainer(path, BandAsyncGRPOConfig(**options(tmp_path)))
    inputs = packed(samples)
    inputs["old_log_probs"][0, 2] = math.nan
    with pytest.raises(ValueError, match=r"old_log_probs\[1, 1\] = nan"):
        loss_and_gradients(engine, inputs)


def ignores_everything(self, model, inputs, **_):
    return torch.zeros((), requires_grad=True)


def reads_early(self, model, inputs, **_):
    return (torch.ones(()) * inputs["advantages"]).sum()


@pytest.mark.parametrize(
    ("loss", "method", "words"),
    [
        (ignores_everything, "band-kl", "did not apply the bounds of method='band-kl'"),
        (ignores_everything, "sapo", "did not apply the"),
        (reads_early, "sapo", "reads the advantages before it has the new log-probs"),
    ],
)
def test_a_loss_that_does_otherwise_stops_training(tmp_path, path, samples, monkeypatch, loss, method, words):
    engine = trainer(path, BandAsyncGRPOConfig(**options(tmp_path, method=method)))
    untouched = engine.epsilon_low, engine.epsilon_high
    monkeypatch.setattr(AsyncGRPOTrainer, "compute_loss", loss)
    with pytest.raises(RuntimeError, match=words):
        engine.compute_loss(engine.model, packed(samples))
    assert (engine.epsilon_low, engine.epsilon_high) == untouched


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"method": "quatro"}, ValueError, ["group_rewards", "TRL's AsyncGRPOTrainer does not hand to a loss"]),
        ({"method": "tre"}, ValueError, ["needs logits"]),
        ({"method": "dppo-topk-kl"}, ValueError, ["needs topk_logp"]),
        ({"method": "flex-entropy", "method_kwargs": {"strategy": "od"}}, ValueError, ["flex-entropy"]),
        ({"epsilon": 0.3}, ValueError, ["epsilon=0.3 has no effect with method='band-kl'"]),
        ({"epsilon_high": 0.3}, ValueError, ["epsilon_high=0.3 has no effect"]),
        ({"band_delta": -1.0}, ValueError, ["band_delta=-1.0", "expected 0 < delta"]),
        ({"temperature": math.nan}, ValueError, ["temperature=nan"]),
        ({"method_kwargs": {"max_ratios": 3}}, TypeError, ["takes no 'max_ratios'"]),
        ({"use_liger_kernel": True}, ValueError, ["use_liger_kernel=True", "AsyncGRPOTrainer does not take it"]),
    ],
)
def test_refusals(tmp_path, given, kind, words):
    with pytest.raises(kind) as caught:
        BandAsyncGRPOConfig(**options(tmp_path, **given))
    for word in words:
        assert word in str(caught.value)


def test_a_stock_configuration_is_refused(tmp_path, path):
    with pytest.raises(TypeError, match="expected a BandAsyncGRPOConfig"):
        BandAsyncGRPOTrainer(path, even_digits, AsyncGRPOConfig(**options(tmp_path)))


def test_the_samples_are_left_alone(tmp_path, path, samples):
    inputs = packed(samples)
    kept = copy.deepcopy(inputs)
    loss_and_gradients(trainer(path, BandAsyncGRPOConfig(**options(tmp_path, method="sapo"))), inputs)
    assert all(torch.equal(kept[name], inputs[name]) for name in kept)
