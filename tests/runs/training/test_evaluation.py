"""Evaluation in training: exact recomputation by unpadded forward passes, and what it must leave alone."""

import json
import random
import statistics

import numpy as np
import pytest
import torch
from scipy import stats
from transformers import AutoTokenizer, GenerationConfig, GPT2Config, GPT2LMHeadModel

from bandpo.runs.training.evaluation import Evaluation, evaluate
from bandpo.tasks import countdown

END = 0
LONG, SHORT = "3 7 11 2 9 9 1 -> 45", "5 -> 8"


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = AutoTokenizer.from_pretrained(countdown.policy_path())
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['content'] }} {% endfor %}"
        "{% if add_generation_prompt %}->{{ suffix if suffix is defined else '' }}{% endif %}"
    )
    return tokenizer


@pytest.fixture(scope="module")
def model():
    """A random model with distributions far from uniform, in which the end comes early now and then."""
    torch.manual_seed(3)
    sizes = {"vocab_size": 104, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2}
    ends = {"bos_token_id": END, "eos_token_id": END, "tie_word_embeddings": False}
    model = GPT2LMHeadModel(GPT2Config(**sizes, **ends, initializer_range=0.3)).train()
    with torch.no_grad():
        shift = torch.randn(32)
        model.transformer.ln_f.bias += shift
        model.lm_head.weight[END] += 3 * shift / shift.square().sum()
    return model


class Spy:
    """A reward function that keeps what it was called with."""

    def __init__(self, values=None):
        self.values, self.calls = values, []

    def __call__(self, completions, prompts, completion_ids, **columns):
        self.calls.append({"completions": completions, "prompts": prompts, "ids": completion_ids, **columns})
        return [0.0] * len(prompts) if self.values is None else self.values


def run(model, tokenizer, prompts, reward=None, **options):
    options = {"samples": 4, "max_new_tokens": 6, **options}
    columns = {"prompt": prompts} if isinstance(prompts, list) else prompts
    return evaluate(model, tokenizer, columns, reward or Spy(), **options)


def exact_entropy(model, tokenizer, call, temperature=1.0):
    """Mean entropy of the tokens of every sample, each by its own forward pass without padding."""
    values = []
    was_training = model.training
    model.eval()
    for prompt, ids in zip(call["prompts"], call["ids"], strict=True):
        start = tokenizer(prompt)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([start + ids])).logits[0, len(start) - 1 : -1].double()
        values += torch.distributions.Categorical(logits=logits / temperature).entropy().tolist()
    model.train(was_training)
    return statistics.fmean(values)


@pytest.mark.parametrize(
    ("samples", "names"),
    [(1, ["pass@1"]), (8, ["pass@8"]), (9, ["pass@8", "pass@9"]), (40, ["pass@8", "pass@32", "pass@40"])],
)
def test_summary(samples, names):
    rewards = torch.zeros(3, samples)
    rewards[0, 0], rewards[1, :] = 1.0, 0.5
    summary = Evaluation(rewards, [[""] * samples] * 3, 0.25).summary()
    assert [name for name in summary if name.startswith("pass")] == names
    assert summary[f"mean@{samples}"] == pytest.approx((1 + 0.5 * samples) / (3 * samples))
    assert summary[names[0]] == pytest.approx(min(samples, 8) / samples / 3 if samples < 10 else 8 / 40 / 3)
    assert summary["entropy"] == 0.25 and summary["problems"] == 3
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_entropy_is_that_of_an_unpadded_forward_pass(model, tokenizer, temperature):
    """Ragged prompts, answers that end early, several batches: still the exact entropy of every sampled token."""
    spy = Spy()
    result = run(model, tokenizer, [LONG, SHORT, "1 2 -> 3"], spy, samples=8, temperature=temperature, batch_size=10)
    lengths = {len(ids) for ids in spy.calls[0]["ids"]}
    assert len(lengths) > 1, "no answer ended early"
    assert result.entropy == pytest.approx(exact_entropy(model, tokenizer, spy.calls[0], temperature), rel=2e-6)


def test_padding_does_not_change_what_the_model_sees(model, tokenizer):
    """Greedy-like sampling of a short prompt gives the same tokens beside a long one as alone."""
    alone, beside = Spy(), Spy()
    run(model, tokenizer, [SHORT], alone, samples=1, temperature=1e-3)
    run(model, tokenizer, [LONG, SHORT], beside, samples=1, temperature=1e-3)
    assert alone.calls[0]["ids"] == beside.calls[0]["ids"][1:]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_the_whole_distribution_whatever_the_models_own_settings(model, tokenizer, temperature):
    """First tokens against the exact probabilities, chi-square at p > 0.001."""
    own = GenerationConfig(top_k=2, top_p=0.5, repetition_penalty=5.0, min_p=0.3, temperature=9.0, max_length=3)
    spy, saved, model.generation_config = Spy(), model.generation_config, own
    count = 3000
    try:
        run(model, tokenizer, [SHORT], spy, samples=count, max_new_tokens=1, temperature=temperature, batch_size=512)
        assert model.generation_config is own
    finally:
        model.generation_config = saved
    model.eval()
    with torch.no_grad():
        logits = model(**tokenizer(SHORT, return_tensors="pt")).logits[0, -1].double()
    model.train()
    expected = (logits / temperature).softmax(-1).numpy() * count
    observed = np.bincount([ids[0] for ids in spy.calls[0]["ids"]], minlength=104)
    common = expected >= 5
    observed = [*observed[common], observed[~common].sum()]
    assert stats.chisquare(observed, [*expected[common], expected[~common].sum()]).pvalue > 1e-3


def test_rewards_are_one_row_a_problem(model, tokenizer):
    spy = Spy(values=list(range(12)))
    result = run(model, tokenizer, {"prompt": [LONG, SHORT, "1 -> 2"], "label": ["a", "b", "c"]}, spy)
    assert torch.equal(result.rewards, torch.arange(12.0).view(3, 4))
    (call,) = spy.calls
    assert call["label"] == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert call["prompts"] == [LONG] * 4 + [SHORT] * 4 + ["1 -> 2"] * 4
    assert [text for row in result.texts for text in row] == call["completions"]
    assert [len(row) for row in result.texts] == [4, 4, 4]
    assert "prompt" not in call


def test_counting_stops_at_the_first_end(model, tokenizer):
    spy = Spy()
    result = run(model, tokenizer, [SHORT], spy, samples=64)
    ended = [ids for ids in spy.calls[0]["ids"] if END in ids]
    assert ended and len(ended) < 64
    for ids, text in zip(spy.calls[0]["ids"], result.texts[0], strict=True):
        assert END not in ids[:-1] and (ids[-1] == END or len(ids) == 6)
        assert "<end>" not in text
        assert text.split() == [word for word in tokenizer.convert_ids_to_tokens(ids) if word != "<end>"]


def test_an_answer_also_ends_where_the_models_own_settings_end_it(model, tokenizer):
    saved = model.generation_config.eos_token_id
    spy = Spy()
    run(model, tokenizer, [SHORT], spy, samples=32)
    frequent = spy.calls.pop()["ids"][0][0] or 7
    try:
        model.generation_config.eos_token_id = [END, frequent]
        run(model, tokenizer, [SHORT], spy, samples=32)
    finally:
        model.generation_config.eos_token_id = saved
    assert any(frequent in ids for ids in spy.calls[0]["ids"])
    assert not any({END, frequent} & {*ids[:-1]} for ids in spy.calls[0]["ids"])


def test_the_seed_decides(model, tokenizer):
    first, again = (run(model, tokenizer, [LONG, SHORT], seed=5) for _ in range(2))
    other = run(model, tokenizer, [LONG, SHORT], seed=6)
    assert first.texts == again.texts and first.entropy == again.entropy
    assert first.texts != other.texts


@pytest.mark.parametrize("batch_size", [1, 3, 7, 1000])
def test_any_batch_size_gives_all_samples(model, tokenizer, batch_size):
    spy = Spy()
    result = run(model, tokenizer, [LONG, SHORT], spy, batch_size=batch_size, samples=5)
    assert result.rewards.shape == (2, 5) and [len(row) for row in result.texts] == [5, 5]
    assert len(spy.calls) == 1 and len(spy.calls[0]["ids"]) == 10
    assert result.entropy == pytest.approx(exact_entropy(model, tokenizer, spy.calls[0]), rel=2e-6)


@pytest.mark.parametrize("is_training", [True, False])
def test_model_and_random_states_are_left_as_they_were(model, tokenizer, is_training):
    def disturbing(completions, **_):
        random.random(), np.random.random(), torch.rand(1)
        return [0.0] * len(completions)

    model.train(is_training)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    config = model.generation_config.to_dict()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    run(model, tokenizer, [SHORT], disturbing)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])
    assert model.training == is_training and model.generation_config.to_dict() == config
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.train()


def test_they_are_left_as_they_were_by_a_reward_that_fails_too(model, tokenizer):
    def failing(**_):
        raise RuntimeError("mine")

    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError, match="mine"):
        run(model, tokenizer, [SHORT], failing)
    assert model.training and torch.equal(before, torch.random.get_rng_state())


def test_chat_prompts_go_through_the_template(model, tokenizer):
    chats = [[{"role": "user", "content": "3 7 11"}], [{"role": "user", "content": "5"}]]
    spy, plain = Spy(), Spy()
    result = run(model, tokenizer, chats, spy)
    run(model, tokenizer, ["3 7 11 ->", "5 ->"], plain)
    assert spy.calls[0]["ids"] == plain.calls[0]["ids"]
    assert spy.calls[0]["prompts"] == [chats[0]] * 4 + [chats[1]] * 4
    texts = [text for row in result.texts for text in row]
    assert spy.calls[0]["completions"] == [[{"role": "assistant", "content": text}] for text in texts]


def test_the_templates_own_options_are_passed(model, tokenizer):
    spy, plain = Spy(), Spy()
    run(model, tokenizer, [[{"role": "user", "content": "5"}]], spy, chat_template_kwargs={"suffix": " 9"})
    run(model, tokenizer, ["5 -> 9"], plain)
    assert spy.calls[0]["ids"] == plain.calls[0]["ids"]


def test_a_chat_prompt_gets_no_second_begin_token(model):
    class Beginning:
        """A tokenizer that adds a begin token to plain text, as Llama's does."""

        pad_token_id = eos_token_id = END

        def __init__(self, tokenizer):
            self.tokenizer, self.seen = tokenizer, []

        def __call__(self, texts, add_special_tokens=True, **options):
            self.seen = [f"1 {text}" if add_special_tokens else text for text in texts]
            return self.tokenizer(self.seen, **options)

        def __getattr__(self, name):
            return getattr(self.tokenizer, name)

    tokenizer = AutoTokenizer.from_pretrained(countdown.policy_path())
    tokenizer.chat_template = "1 {{ messages[0]['content'] }} ->"
    wrapped = Beginning(tokenizer)
    run(model, wrapped, [[{"role": "user", "content": "5"}]], samples=1)
    assert wrapped.seen == ["1 5 ->"]
    run(model, wrapped, ["5 ->"], samples=1)
    assert wrapped.seen == ["1 5 ->"]


def test_none_and_nan_are_left_out(model, tokenizer):
    result = run(model, tokenizer, [SHORT], Spy(values=[None, 1.0, float("nan"), 0.5]))
    assert result.rewards.isnan().tolist() == [[True, False, True, False]]
    assert result.summary()["mean@4"] == 0.75


def test_a_reward_may_be_asynchronous(model, tokenizer):
    async def later(completions, **_):
        return [1.0] * len(completions)

    assert run(model, tokenizer, [SHORT], later).rewards.tolist() == [[1.0] * 4]


def test_a_reward_must_give_a_value_for_each_answer(model, tokenizer):
    with pytest.raises(ValueError, match="gave 3 values for 4 completions"):
        run(model, tokenizer, [SHORT], Spy(values=[1.0] * 3))


def test_no_problems_are_refused(model, tokenizer):
    with pytest.raises(ValueError, match="no problems"):
        run(model, tokenizer, [])
