"""Methods that are not intervals, through TRL's loss, against formulas written by hand and TRL's own of that name."""

import copy
import itertools

import pytest
import torch
import trl_reference
from packaging.version import Version
from trl_tiny import (
    COMPLETION_LENGTH,
    SUPPORTED_LOSSES,
    TEMPERATURE,
    TRL_VERSION,
    BandGRPOConfig,
    GRPOConfig,
    GRPOTrainer,
    loss_inputs,
    model,
    options,
    trainer,
)

import bandpo
from tests.methods import ENTRIES
from tests.methods.entry import Case

METHODS = {name: entry.in_trl for name, entry in ENTRIES.items() if entry.in_trl is not None}
WINDOW, STEPS_PER_GENERATION, TOP_K, GROUP = 2, 4, 4, 4
SCENARIOS = {"plain": {}, "kl-tools": {"beta": 0.3}, "vllm": {"importance_sampling": True}}


@pytest.fixture(scope="module")
def policy():
    return model(spread=0.5)


@pytest.fixture(scope="module")
def inputs(policy):
    """Loss inputs with everything a method may need: group rewards and the sampler's likeliest tokens."""
    made = loss_inputs(policy)
    generator = torch.Generator().manual_seed(9)
    rewards = torch.rand(len(made["advantages"]), GROUP, generator=generator)
    made["group_rewards"] = rewards - rewards.mean(-1, keepdim=True)
    vocabulary = torch.randn(*made["completion_ids"].shape, policy.config.vocab_size, generator=generator) * 1.5
    sampled, old = made["completion_ids"].unsqueeze(-1), made["old_per_token_logps"].clamp_max(-1e-3).double()
    # A sampler whose probability of the sampled token is the old policy's.
    others = torch.softmax(vocabulary.scatter(-1, sampled, -torch.inf).double(), -1) * (1 - old.exp()).unsqueeze(-1)
    sampler = others.scatter(-1, sampled, old.exp().unsqueeze(-1)).log()
    ids = sampler.topk(TOP_K, -1).indices
    missing = (ids != sampled).all(-1, keepdim=True)
    made["topk_ids"] = torch.where(missing & (torch.arange(TOP_K) == TOP_K - 1), sampled, ids)
    made["topk_logp_rollout"] = sampler.gather(-1, made["topk_ids"]).float()
    return made


def scenario_inputs(inputs, scenario):
    generator = torch.Generator().manual_seed(5)
    shape = inputs["completion_ids"].shape
    made = dict(inputs)
    if "beta" in scenario:
        made["ref_per_token_logps"] = inputs["old_per_token_logps"] + 0.3 * torch.randn(shape, generator=generator)
        made["tool_mask"] = (torch.rand(shape, generator=generator) > 0.3).long()
    if "importance_sampling" in scenario:
        made["importance_sampling_ratio"] = torch.exp(0.2 * torch.randn(shape, generator=generator)).clamp_max(1.2)
    return made


def by_trl(policy, inputs, folder, method, loss_type, scenario):
    stated = METHODS[method]
    top_k = {"band_top_k": TOP_K} if "topk_logp" in bandpo.get_method(method).inputs else {}
    config = BandGRPOConfig(
        **options(
            folder,
            method=method,
            method_kwargs={**stated.hyperparameters, **stated.options},
            loss_type=loss_type,
            gradient_accumulation_steps=WINDOW,
            steps_per_generation=STEPS_PER_GENERATION,
            use_bias_correction_kl=False,
            **stated.arguments,
            **top_k,
        )
    )
    language_model = copy.deepcopy(policy)
    engine = trainer(config, language_model)
    engine.current_gradient_accumulation_steps = WINDOW
    engine.beta = scenario.get("beta", 0.0)
    engine.use_vllm = engine.vllm_importance_sampling_correction = bool(scenario.get("importance_sampling"))
    language_model.train()
    loss = engine.compute_loss(language_model, inputs)
    loss.backward()
    return loss.item(), [parameter.grad.double() for parameter in language_model.parameters()]


def case_by_hand(language_model, inputs):
    """The definition of everything a formula reads, in double."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
    length = inputs["completion_ids"].shape[1]
    logits = language_model(input_ids=ids, attention_mask=attention).logits[:, -length - 1 : -1] / TEMPERATURE
    log_p = torch.log_softmax(logits, -1)
    mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
    old = torch.where(mask.bool(), inputs["old_per_token_logps"].double(), -1.0)
    new = log_p.gather(-1, inputs["completion_ids"].unsqueeze(-1)).squeeze(-1)
    advantages = inputs["advantages"].double()[:, None].expand_as(new)
    return Case(
        new,
        old,
        old,
        advantages,
        mask,
        logits,
        -(log_p.exp() * log_p).sum(-1),
        inputs["group_rewards"],
        inputs["topk_logp_rollout"].double(),
        log_p.gather(-1, inputs["topk_ids"]),
    )


def by_hand(policy, inputs, method, loss_type, scenario):
    language_model = copy.deepcopy(policy).double()
    case = case_by_hand(language_model, inputs)
    per_token = METHODS[method].loss(case, **METHODS[method].hyperparameters)
    if "importance_sampling" in scenario:
        per_token = per_token * inputs["importance_sampling_ratio"].double()
    if "beta" in scenario:
        gap = inputs["ref_per_token_logps"].double() - case.new
        per_token = per_token + scenario["beta"] * (torch.exp(gap) - gap - 1)
    share = WINDOW / STEPS_PER_GENERATION if Version("1.9.2") <= TRL_VERSION else 1
    loss = trl_reference.normalise(
        torch.where(case.mask.bool(), per_token, 0.0),
        case.mask,
        loss_type,
        window=WINDOW,
        max_tokens=COMPLETION_LENGTH,
        dapo_tokens=inputs["num_items_in_batch"] * share,
    )
    loss.backward()
    return loss.item(), [parameter.grad for parameter in language_model.parameters()]


def distance(gradients, others):
    """Largest difference of any gradient entry, relative to the largest entry."""
    scale = max(other.abs().max() for other in others)
    return max((one - other).abs().max() / scale for one, other in zip(gradients, others, strict=True)).item()


def pairings():
    """(method, loss type, scenario): each method meets every loss type and every scenario, the first every pair."""
    for place, name in enumerate(METHODS):
        for turn, (loss_type, scenario) in enumerate(itertools.product(("grpo", "dapo", "dr_grpo"), SCENARIOS)):
            if METHODS[name].of_response:
                # Its formula is that of its tokens under the token mean alone.
                is_met = (loss_type, scenario) == ("grpo", "plain")
            else:
                is_met = place == 0 or (turn // 3 + turn + place) % 3 == 0
            if is_met:
                yield name, loss_type, scenario


@pytest.mark.parametrize(("method", "loss_type", "scenario"), list(pairings()))
def test_loss_and_every_gradient(policy, inputs, tmp_path, method, loss_type, scenario):
    settings = SCENARIOS[scenario]
    batch = scenario_inputs(inputs, settings)
    loss, gradients = by_trl(policy, batch, tmp_path, method, loss_type, settings)
    expected_loss, expected = by_hand(policy, batch, method, loss_type, settings)
    assert loss == pytest.approx(expected_loss, rel=2e-5, abs=2e-6)
    assert distance(gradients, expected) < 5e-5


def test_the_batch_tells_the_methods_apart(policy, inputs):
    """Otherwise agreement above would show nothing: any two methods differ by 20 times the tolerance at least."""
    found = {name: by_hand(policy, inputs, name, "grpo", {})[1] for name in METHODS}
    names = list(found)
    for i, one in enumerate(names):
        for other in names[:i]:
            assert distance(found[one], found[other]) > 1e-3, (one, other)


OWN = {
    "sapo": ({"loss_type": "sapo"}, {"method": "sapo", "loss_type": "grpo"}),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.5},
        {"method": "cispo", "method_kwargs": {"max_ratio": 1.5}, "loss_type": "dapo"},
    ),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.05, "epsilon_high": 0.07},
        {"method": "gspo", "method_kwargs": {"eps_low": 0.05, "eps_high": 0.07}, "loss_type": "grpo"},
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_equals_trls_own_loss_of_that_name(policy, inputs, tmp_path, name):
    stock, ours = OWN[name]
    results = []
    for kind, settings in ((GRPOConfig, stock), (BandGRPOConfig, ours)):
        language_model = copy.deepcopy(policy)
        engine = trainer(kind(**options(tmp_path, **settings)), language_model)
        engine.current_gradient_accumulation_steps = 1
        loss = engine.compute_loss(language_model, dict(inputs))
        loss.backward()
        results.append((loss.item(), [parameter.grad.double() for parameter in language_model.parameters()]))
    (loss, gradients), (our_loss, our_gradients) = results
    assert our_loss == pytest.approx(loss, rel=1e-5, abs=1e-6)
    assert distance(our_gradients, gradients) < 2e-5


def test_masked_positions_may_hold_anything(policy, tmp_path):
    losses = set()
    for masked_old in (-2.0, 7.0, float("nan"), -float("inf")):
        engine = trainer(BandGRPOConfig(**options(tmp_path, method="drpo")), copy.deepcopy(policy))
        engine.current_gradient_accumulation_steps = 1
        losses.add(engine.compute_loss(engine.model, loss_inputs(policy, masked_old=masked_old)).item())
    assert len(losses) == 1
    assert all(loss == loss for loss in losses)


def test_with_vllm_the_anchor_is_the_samplers_log_prob(policy, inputs, tmp_path):
    """And a token vLLM could not score falls back to the old policy's."""
    sampler = (inputs["old_per_token_logps"] - 0.3).clone()
    sampler[0, 0] = float("nan")
    batch = {**inputs, "sampling_per_token_logps": sampler}
    losses = {}
    for method in ("dppo-tv", "cfpo"):
        for name, given in (("with", batch), ("without", dict(inputs))):
            engine = trainer(BandGRPOConfig(**options(tmp_path, method=method)), copy.deepcopy(policy))
            engine.current_gradient_accumulation_steps = 1
            losses[method, name] = engine.compute_loss(engine.model, given).item()
    assert losses["dppo-tv", "with"] != losses["dppo-tv", "without"]
    assert losses["cfpo", "with"] == losses["cfpo", "without"]
    assert all(loss == loss for loss in losses.values())


def reads_advantages_first(self, model, inputs):
    return inputs["advantages"].sum()


def ignores_advantages(self, model, inputs):
    return torch.clamp(torch.ones(1), 1 - self.epsilon_low, 1 + self.epsilon_high).sum()


@pytest.mark.parametrize(
    ("loss", "words"), [(reads_advantages_first, "reads the advantages before"), (ignores_advantages, "did not apply")]
)
def test_a_loss_that_does_otherwise_stops_training(policy, inputs, tmp_path, monkeypatch, loss, words):
    engine = trainer(BandGRPOConfig(**options(tmp_path, method="maspo")), copy.deepcopy(policy))
    monkeypatch.setattr(GRPOTrainer, "_compute_loss", loss)
    with pytest.raises(RuntimeError, match=words):
        engine.compute_loss(engine.model, dict(inputs))


def test_logits_that_are_not_trls_stop_training(policy, inputs, tmp_path):
    engine = trainer(BandGRPOConfig(**options(tmp_path, method="tre")), copy.deepcopy(policy))
    engine.current_gradient_accumulation_steps = 1
    head = engine.model.get_output_embeddings()
    head.register_forward_hook(lambda _module, _arguments, output: 3 * output)
    if Version("1.14") <= TRL_VERSION:  # earlier releases take their own logits from the same call
        with pytest.raises(RuntimeError, match="do not give TRL's log-probs"):
            engine.compute_loss(engine.model, dict(inputs))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "maspo", "delta": 3.0}, ["delta=3.0 with method='maspo'", "expected None"]),
        ({"method": "sapo", "off_policy_mask_threshold": 0.5}, ["off_policy_mask_threshold=0.5", "expected None"]),
        ({"method": "quatro"}, ["scale_rewards='group'", "expected 'none'"]),
        ({"method": "band-kl", "band_top_k": 5}, ["band_top_k=5 has no effect with method='band-kl'"]),
        ({"method": "dppo-topk-tv", "band_top_k": 0}, ["band_top_k=0", "at least 1"]),
        (
            {"method": "drpo", "use_vllm": True, "vllm_importance_sampling_correction": True},
            ["count the mismatch twice"],
        ),
        (
            {"method": "dppo-topk-kl", "use_vllm": True, "vllm_importance_sampling_correction": False},
            ["use_vllm=True", "sampled token alone"],
        ),
        ({"method": "tre", "method_kwargs": {"top_p": 0.9}}, ["top_k=2 and top_p=0.9: give one"]),
        ({"method": "tre", "method_kwargs": {"base": "dppo-topk-tv"}}, ["base='dppo-topk-tv'"]),
        ({"method": "flex-entropy", "method_kwargs": {"strategy": "up"}}, ["strategy='up'", "'od'"]),
    ],
)
def test_refusals_name_option_value_and_expectation(tmp_path, given, words):
    with pytest.raises(ValueError) as caught:
        BandGRPOConfig(**options(tmp_path, **given))
    for word in words:
        assert word in str(caught.value)


def test_loss_types_are_those_of_the_intervals(tmp_path):
    for loss_type in SUPPORTED_LOSSES:
        assert BandGRPOConfig(**options(tmp_path, method="maspo", loss_type=loss_type)).loss_type == loss_type
