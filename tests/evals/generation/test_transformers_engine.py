"""Generation against forward passes without padding, sample by sample."""

import collections
import copy

import pytest
import torch
from scipy import stats

from bandpo.evals.generation.loading import load_engine
from bandpo.evals.generation.prompts import encode, end_tokens, plain_text
from bandpo.evals.generation.protocol import EngineOptions, Request, Sampling, engine_name, resolved_dtype
from bandpo.evals.generation.sampling import uniforms
from bandpo.evals.generation.transformers_engine import TransformersEngine

CHATS = [[{"role": "user", "content": text}] for text in ("What is 3 + 4 ?", "7 ?", "What is 1 + 2 + 3 + 4 + 5 ?")]


@pytest.fixture(scope="module")
def engine(model_folder, tokenizer):
    return TransformersEngine(tokenizer, EngineOptions(str(model_folder), None, "float32", 40))


@pytest.fixture(scope="module")
def requests(tokenizer):
    """Prompts of different lengths, twelve samples each."""
    prompts = encode(tokenizer, CHATS)
    return [Request(tuple(prompt), 100 * i + j) for i, prompt in enumerate(prompts) for j in range(12)]


def replay(double, request, sampling, max_tokens, end):
    """The same sample by plain forward passes in fp64, one token after another; and its entropies."""
    ids, entropies = list(request.prompt), []
    for number in uniforms(request.seed, max_tokens):
        logits = double(torch.tensor([ids])).logits[0, -1] / sampling.temperature
        entropies.append(torch.distributions.Categorical(logits=logits).entropy().item())
        probabilities = logits.softmax(-1)
        order = probabilities.argsort(descending=True, stable=True)
        before = probabilities[order].cumsum(-1) - probabilities[order]
        probabilities[order[before >= sampling.top_p]] = 0.0
        cumulative = probabilities.cumsum(-1)
        ids.append(int((cumulative > number * cumulative[-1]).nonzero()[0]))
        if ids[-1] == end:
            break
    return ids[len(request.prompt) :], sum(entropies)


@torch.no_grad()
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7), Sampling(1.3, 0.8)], ids=str)
def test_samples_and_entropies_are_those_of_forward_passes(engine, model, tokenizer, requests, sampling):
    """Padding, cache, temperature, top_p, early ends: the very tokens, and the entropy before top_p."""
    samples = engine.generate(requests, sampling, max_tokens=6)
    assert len({len(sample.ids) for sample in samples}) > 2, "no answer ended early"
    double = copy.deepcopy(model).double()
    for request, sample in zip(requests[::2], samples[::2], strict=True):
        ids, entropy = replay(double, request, sampling, 6, tokenizer.eos_token_id)
        assert sample.ids == ids
        assert sample.entropy_sum == pytest.approx(entropy, rel=1e-5)
        assert sample.truncated == (ids[-1] != tokenizer.eos_token_id)
        assert sample.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_a_sample_does_not_depend_on_its_batch(engine, requests):
    together = engine.generate(requests, Sampling(), max_tokens=8)
    shuffled = engine.generate(requests[::-1], Sampling(), max_tokens=8)[::-1]
    by_fives = [s for i in range(0, 36, 5) for s in engine.generate(requests[i : i + 5], Sampling(), max_tokens=8)]
    for other in (shuffled, by_fives):
        assert [s.ids for s in other] == [s.ids for s in together]
        assert [s.entropy_sum for s in other] == pytest.approx([s.entropy_sum for s in together], rel=1e-5)
    assert len({tuple(sample.ids) for sample in together}) > 12


def test_a_longer_limit_only_adds_tokens(engine, requests):
    short, long = (engine.generate(requests, Sampling(), max_tokens=limit) for limit in (3, 9))
    for a, b in zip(short, long, strict=True):
        assert a.ids == b.ids[:3] and (a.truncated or a.ids == b.ids)
    assert any(a.truncated and not b.truncated for a, b in zip(short, long, strict=True))


@torch.no_grad()
def test_the_whole_distribution_is_drawn_from_whatever_the_models_own_settings(engine, model, requests):
    """First tokens against exact probabilities; the model's own top_k=2 would leave two of them."""
    prompt = requests[0].prompt
    samples = engine.generate([Request(prompt, seed) for seed in range(2000)], Sampling(), max_tokens=1)
    expected = model(torch.tensor([prompt])).logits[0, -1].double().softmax(-1).numpy() * 2000
    counts = collections.Counter(sample.ids[0] for sample in samples)
    common = [token for token in range(len(expected)) if expected[token] >= 5]
    seen = [counts[token] for token in common]
    assert len(common) > 4
    rest = 2000 - sum(seen), 2000 - expected[common].sum()
    assert stats.chisquare([*seen, rest[0]], [*expected[common], rest[1]]).pvalue > 1e-3


@torch.no_grad()
def test_temperature_zero_is_greedy(engine, model, requests, tokenizer):
    (sample,) = engine.generate(requests[:1], Sampling(0), max_tokens=6)
    ids = list(requests[0].prompt)
    while len(ids) < len(requests[0].prompt) + 6 and ids[-1:] != [tokenizer.eos_token_id]:
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    assert sample.ids == ids[len(requests[0].prompt) :]
    assert sample.entropy_sum > 0, "of the model's own distribution, at temperature 1"


def test_random_states_are_left_alone(engine, requests):
    before = torch.random.get_rng_state()
    engine.generate(requests[:2], Sampling(), max_tokens=2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_model_that_is_none_is_refused(tmp_path, tokenizer):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(ValueError, match="not loaded by transformers"):
        load_engine("transformers", tokenizer, EngineOptions(str(tmp_path), None, "float32", 9))


def test_names_of_engines_and_types(monkeypatch):
    with pytest.raises(ValueError, match="engine='tgi': expected one of auto, vllm, transformers"):
        engine_name("tgi")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert engine_name("auto") == "transformers"
    with pytest.raises(ValueError, match="vllm is not installed"):
        engine_name("vllm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert engine_name("auto") == "transformers", "no GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert engine_name("auto") == "vllm"
    assert resolved_dtype("transformers", "auto") == "bfloat16"


def test_chat_prompts_go_through_the_template(tokenizer):
    (ids,) = encode(tokenizer, CHATS[:1], {"suffix": " 9"})
    assert tokenizer.decode(ids) == "<|im_start|>user\nWhat is 3 + 4 ?<|im_end|>\n<|im_start|>assistant\n 9"
    assert encode(tokenizer, ["1 + 2"]) == [tokenizer("1 + 2")["input_ids"]]
    assert plain_text("as it is") == "as it is"


def test_ends_are_the_tokenizers_and_the_models(tokenizer):
    class Config:
        eos_token_id = (7,)

    Config.eos_token_id = [7, tokenizer.eos_token_id]
    assert end_tokens(tokenizer, Config) == [tokenizer.eos_token_id, 7]
    Config.eos_token_id = None
    assert end_tokens(tokenizer, Config) == [tokenizer.eos_token_id] == end_tokens(tokenizer, None)
