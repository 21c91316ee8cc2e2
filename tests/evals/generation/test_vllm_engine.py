"""The calls to vLLM with a stand-in of the two classes as vllm 0.33 has them; the real one needs a GPU."""

import inspect
import math
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest

from bandpo.evals.generation.loading import load_engine
from bandpo.evals.generation.protocol import EngineOptions, Request, Sampling

END = 2
LLM_OPTIONS = {
    "model", "tokenizer", "dtype", "revision", "tokenizer_revision", "seed", "tensor_parallel_size", "max_model_len",
    "gpu_memory_utilization", "enable_prefix_caching", "logprobs_mode", "generation_config", "trust_remote_code",
}  # fmt: skip


@dataclass
class SamplingParams:
    """vllm.SamplingParams: the fields that are used, with its defaults."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop_token_ids: list[int] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None


@dataclass
class LLM:
    """vllm.LLM: keeps how it was made and called, answers the prompt's first token with its log-prob and an end."""

    options: dict
    calls: list = field(default_factory=list)

    def __init__(self, model, **options):
        unknown = set(options) - LLM_OPTIONS
        assert not unknown, f"vLLM has no option {unknown}"
        self.options, self.calls = {"model": model, **options}, []

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        self.calls.append((prompts, sampling_params, use_tqdm))
        return [self.answer(p["prompt_token_ids"][0], s) for p, s in zip(prompts, sampling_params, strict=True)]

    def answer(self, token, params):
        ids = [token, END][: params.max_tokens]
        logprobs = [{t: SimpleNamespace(logprob=-0.5 - i, rank=1, decoded_token=None)} for i, t in enumerate(ids)]
        reason = "stop" if ids[-1] == END else "length"
        return SimpleNamespace(
            outputs=[SimpleNamespace(index=0, text="", token_ids=tuple(ids), logprobs=logprobs, finish_reason=reason)]
        )


@pytest.fixture
def vllm(monkeypatch):
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


@pytest.fixture
def engine(vllm, tokenizer, model_folder):
    options = EngineOptions(str(model_folder), "abc", "auto", 40, {"tensor_parallel_size": 2, "max_model_len": 99})
    return load_engine("vllm", tokenizer, options)


def test_the_model_is_loaded_with_our_settings_and_the_users(engine, model_folder):
    options = engine.llm.options
    assert options["model"] == str(model_folder) and options["dtype"] == "auto"
    assert options["revision"] == options["tokenizer_revision"] == "abc"
    assert options["logprobs_mode"] == "processed_logprobs" and options["generation_config"] == "vllm"
    assert options["tensor_parallel_size"] == 2 and options["max_model_len"] == 99, "the user's options win"


def test_every_request_has_its_seed_and_the_prompts_tokens(engine, tokenizer):
    requests = [Request((5, 6), 11), Request((7,), 2**63 - 1)]
    samples = engine.generate(requests, Sampling(0.7, 0.9), max_tokens=6)
    ((prompts, params, use_tqdm),) = engine.llm.calls
    assert prompts == [{"prompt_token_ids": [5, 6]}, {"prompt_token_ids": [7]}] and use_tqdm is False
    assert [p.seed for p in params] == [11, 2**63 - 1]
    for p in params:
        assert (p.n, p.temperature, p.top_p, p.top_k, p.min_p, p.max_tokens) == (1, 0.7, 0.9, 0, 0.0, 6)
        assert p.logprobs == 0 and p.stop_token_ids == [tokenizer.eos_token_id] == [END]
    assert [s.ids for s in samples] == [[5, END], [7, END]]
    assert [s.text for s in samples] == [tokenizer.decode([5]), tokenizer.decode([7])]
    assert [s.truncated for s in samples] == [False, False]
    assert engine.generate(requests[:1], Sampling(), max_tokens=1)[0].truncated


def test_what_it_gives_is_an_estimate_and_is_not_called_entropy(engine):
    (sample,) = engine.generate([Request((5,), 0)], Sampling(), max_tokens=6)
    assert sample.entropy_sum is None and math.isclose(sample.surprisal_sum, 0.5 + 1.5)
    (greedy,) = engine.generate([Request((5,), 0)], Sampling(0), max_tokens=6)
    assert greedy.surprisal_sum is None, "log-probs of the likeliest tokens estimate no entropy"


def test_the_stand_in_is_as_vllm_is():
    """Where vLLM is installed, its signatures take what we hand over."""
    vllm = pytest.importorskip("vllm")
    assert {"prompts", "sampling_params", "use_tqdm"} <= set(inspect.signature(vllm.LLM.generate).parameters)
    arguments = pytest.importorskip("vllm.engine.arg_utils").EngineArgs
    assert set(inspect.signature(arguments).parameters) >= LLM_OPTIONS
    assert set(SamplingParams.__dataclass_fields__) <= set(vllm.SamplingParams.__struct_fields__)
