"""Countdown's reward, problems, policy and demonstrations, against evaluators of our own."""

import itertools
import math
import random
import re
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from bandpo.tasks import POLICIES, TASKS, countdown
from bandpo.tasks.countdown import Problem

numbers = st.tuples(*[st.integers(1, 12)] * 4)
operators = st.tuples(*[st.sampled_from("+-*")] * 3)


def python_value(values, signs):
    """Left to right by Python's own arithmetic: every operator closes a bracket."""
    text = "(((" + "".join(f"{value}){sign}" for value, sign in zip(values, [*signs, ""], strict=True))
    return eval(text.removesuffix(")"))


def answer(values, signs):
    return " ".join(f"{v} {s}" for v, s in zip(values, signs, strict=False)) + f" {values[-1]}"


def graded(text, prompt="1 2 3 4 -> 19"):
    return countdown.reward([text], [prompt])[0]


def test_own_evaluator_is_left_to_right():
    assert python_value((2, 3, 4, 1), "+*-") == 19


@given(numbers, operators)
def test_evaluates_left_to_right(values, signs):
    assert countdown.evaluate_left_to_right(values, signs) == python_value(values, signs)


@given(numbers, operators, st.randoms(use_true_random=False))
def test_every_order_of_the_numbers_is_right_if_the_value_is(values, signs, rng):
    shown = list(values)
    rng.shuffle(shown)
    prompt = Problem(tuple(shown), python_value(values, signs)).prompt
    assert graded(answer(values, signs), prompt) == 1.0


@given(numbers, operators, st.integers(-200, 200))
def test_another_target_is_wrong(values, signs, miss):
    target = python_value(values, signs) + miss
    assert graded(answer(values, signs), Problem(values, target).prompt) == float(miss == 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "2 + 3 * 4 - 1": 1.0,
        "3 + 2 * 4 - 1": 1.0,
        "  2 + 3 * 4 - 1\n": 1.0,
        "2\t+ 3 *  4 - 1": 1.0,
        "2 + 3 * 4 - 4": 0.0,
        "2 + 3 * 4 - 5": 0.0,
        "4 + 4 * 3 - 5": 0.0,
        "4 * 4 + 3 + 0": 0.0,
        "2 + 3 * 4": 0.0,
        "2 + 3 * 4 - 1 + 0": 0.0,
        "2 + 3 * 4 - 1 !": 0.0,
        "so 2 + 3 * 4 - 1": 0.0,
        "2+3*4-1": 0.0,
        "2 + 3 × 4 - 1": 0.0,
        "2 + 3 * 4 − 1": 0.0,
        "2 + 3 * 4 / 1": 0.0,
        "+ 2 3 * 4 - 1": 0.0,
        "02 + 3 * 4 - 1": 0.0,
        "2.0 + 3 * 4 - 1": 0.0,
        "-2 + 3 * 4 - 1": 0.0,
        "٢ + 3 * 4 - 1": 0.0,
        "² + 3 * 4 - 1": 0.0,
        "２ + 3 * 4 - 1": 0.0,
        "": 0.0,
        " ": 0.0,
        "no idea": 0.0,
        "9" * 10_000 + " + 3 * 4 - 1": 0.0,
        "2 + 3 * 4 - 1 " * 10_000: 0.0,
        "\x00": 0.0,
    }.items(),
    ids=lambda value: repr(value)[:30],
)
def test_reward(text, expected):
    assert graded(text) == expected


def test_duplicates_count_as_often_as_they_are_given():
    assert graded("3 + 3 + 2 + 8", "3 3 2 8 -> 16") == 1.0
    assert graded("2 + 3 + 3 + 8", "3 2 2 8 -> 16") == 0.0


def test_reward_grades_each_completion_by_its_own_prompt():
    prompts = ["1 2 3 4 -> 10", "5 5 5 5 -> 20"]
    assert countdown.reward(["1 + 2 + 3 + 4", "5 + 5 + 5 + 5"], prompts, column=["x", "y"]) == [1.0, 1.0]
    assert countdown.reward(["5 + 5 + 5 + 5", "1 + 2 + 3 + 4"], prompts) == [0.0, 0.0]
    with pytest.raises(ValueError):
        countdown.reward(["1 + 2 + 3 + 4"], prompts)


@given(st.tuples(*[st.integers(1, 12)] * 4), st.integers(1, 99))
def test_a_prompt_states_its_problem(values, target):
    assert Problem.parse(Problem(values, target).prompt) == Problem(values, target)


@pytest.mark.parametrize("text", ["", "1 2 3 4", "1 2 3 -> 4", "1 2 3 4 5 -> 6", "1 2 3 x -> 4", "1 2 3 4 -> ", "->"])
def test_what_is_no_prompt_is_refused_by_name(text):
    with pytest.raises(ValueError, match=re.escape(f"prompt {text!r}: expected the form '3 7 11 2 -> 45'")):
        Problem.parse(text)


def solutions(problem, symbols):
    """Every value reachable with these operators, by brute force over orders and Python's arithmetic."""
    return {
        python_value(order, signs)
        for order in itertools.permutations(problem.numbers)
        for signs in itertools.product(symbols, repeat=3)
    }


def test_held_out_problems():
    problems = countdown.held_out_problems()
    assert len(problems) == len(set(problems)) == 128
    assert problems == countdown.held_out_problems()
    for problem in problems:
        assert all(1 <= number <= 12 for number in problem.numbers) and 1 <= problem.target <= 99
        assert problem.target in solutions(problem, "+-*")
    needs = [problem.target not in solutions(problem, "+-") for problem in problems]
    assert sum(needs) == 79
    assert needs == [countdown.needs_multiplication(problem) for problem in problems]


def test_no_training_problem_is_held_out_in_any_order_of_its_numbers():
    held_out = {(*sorted(problem.numbers), problem.target) for problem in countdown.held_out_problems()}
    for seed in [*range(40), 2029]:
        for problem in countdown.training_problems(500, seed):
            assert (*sorted(problem.numbers), problem.target) not in held_out


def test_training_problems_depend_on_the_seed_alone():
    assert countdown.training_problems(50, 1) == countdown.training_problems(80, 1)[:50]
    assert countdown.training_problems(50, 1) != countdown.training_problems(50, 2)
    assert countdown.training_problems(0, 1) == []
    state = random.getstate()
    countdown.training_problems(5, 3)
    assert random.getstate() == state


def test_training_problems_can_be_solved():
    for problem in countdown.training_problems(100, seed=7):
        assert problem.target in solutions(problem, "+-*")


def test_describe():
    shares = countdown.describe(["1 * 2 + 3 + 4", "1 + 2", "* * *", "9 - 9 - 9 - 9"])
    assert shares == {"uses *": 0.5, "well-formed": 0.5}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(countdown.policy_path())


@pytest.fixture(scope="module")
def policy():
    return AutoModelForCausalLM.from_pretrained(countdown.policy_path())


def test_vocabulary(tokenizer, policy):
    words = {"<end>", "->", "+", "-", "*", *map(str, range(1, 100))}
    assert set(tokenizer.get_vocab()) == words and len(tokenizer) == len(words) == 104
    assert policy.config.vocab_size == 104
    assert tokenizer.eos_token == tokenizer.pad_token == "<end>" and tokenizer.padding_side == "left"


def test_prompts_are_six_tokens_answers_seven_and_both_come_back(tokenizer):
    rng = random.Random(0)
    problems = [*countdown.held_out_problems(), *countdown.training_problems(500, 0)]
    answers = [answer([rng.randint(1, 99) for _ in range(4)], rng.choices("+-*", k=3)) for _ in range(500)]
    for texts, length in (([problem.prompt for problem in problems], 6), (answers, 7)):
        ids = tokenizer(texts)["input_ids"]
        assert {len(row) for row in ids} == {length}
        assert tokenizer.batch_decode(ids) == tokenizer.batch_decode(ids, skip_special_tokens=True) == texts


def test_an_answer_follows_its_prompt_token_by_token(tokenizer):
    prompt, text = "3 7 11 2 -> 45", "3 + 7 * 11 - 2"
    whole = tokenizer(f"{prompt} {text}")["input_ids"]
    assert whole == tokenizer(prompt)["input_ids"] + tokenizer(text)["input_ids"]


def test_the_policy_ends_where_its_positions_do(policy):
    assert policy.config.n_positions == countdown.PROMPT_TOKENS + countdown.ANSWER_TOKENS == 13
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
    assert sum(parameter.numel() for parameter in policy.parameters()) < 120_000


@pytest.mark.parametrize(
    ("start", "plus", "times"), [("countdown", 0.96, 0.012), ("countdown-2", 0.864, 0.05), ("countdown-3", 0.905, 0.02)]
)
def test_a_warm_start_knows_the_form_but_rarely_multiplies(start, plus, times, tokenizer):
    """Exact share of * among the operators, by the policy's own distribution at the places of operators."""
    policy = AutoModelForCausalLM.from_pretrained(POLICIES[start])
    prompts = [problem.prompt for problem in countdown.held_out_problems()]
    ids = tokenizer(prompts, return_tensors="pt")["input_ids"]
    torch.manual_seed(0)
    with torch.no_grad():
        whole = policy.generate(ids, max_new_tokens=7, do_sample=True, top_k=0, pad_token_id=0)
        probabilities = policy(whole).logits.softmax(-1)
    vocabulary = tokenizer.get_vocab()
    at_operators = probabilities[:, [6, 8, 10]]
    signs = at_operators[..., [vocabulary[sign] for sign in countdown.OPERATORS]].sum(-1)
    assert signs.min() > 0.95
    assert at_operators[..., vocabulary["*"]].mean().item() == pytest.approx(times, abs=0.006)
    assert at_operators[..., vocabulary["+"]].mean().item() == pytest.approx(plus, abs=0.02)


@pytest.mark.parametrize("start", countdown.STARTS)
def test_a_warm_start_is_a_model_and_a_tokenizer_by_name(start, tokenizer):
    loaded = AutoTokenizer.from_pretrained(POLICIES[start])
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert sum(file.stat().st_size for file in POLICIES[start].iterdir()) < 500_000


def test_demonstrations():
    built = pytest.importorskip("bandpo.tasks.countdown_warm_start")
    assert built.RECIPES.keys() == countdown.STARTS.keys()
    first, other = built.Recipe(1, 0.1, (0.96, 0.03, 0.01), 1), built.Recipe(2, 0.1, (0.96, 0.03, 0.01), 1)
    count = 20_000
    pairs = built.demonstrations(count, first)
    assert pairs[:100] == built.demonstrations(100, first) != built.demonstrations(100, other)
    signs = Counter(word for _, text in pairs for word in text.split()[1::2])
    for sign, prior in zip("+-*", (0.96, 0.03, 0.01), strict=True):
        # Operators are drawn before the numbers and kept, so their share is the prior, to five standard errors.
        assert abs(signs[sign] / (3 * count) - prior) < 5 * math.sqrt(prior * (1 - prior) / (3 * count))
    reached = 0
    for prompt, text in pairs:
        problem = Problem.parse(prompt)
        used = [int(word) for word in text.split()[::2]]
        assert sorted(used) == sorted(problem.numbers) and 1 <= problem.target <= 99
        value = python_value(used, text.split()[1::2])
        assert 1 <= value <= 99
        reached += value == problem.target
    # One in ten by intent, and a few of the others by chance.
    assert 0.1 < reached / count < 0.15


def test_the_task_is_registered_under_its_name():
    task = TASKS["countdown"]
    assert task.name == "countdown" and (task.policy_path() / "model.safetensors").is_file()
    assert task.training(3, 5) == {"prompt": [problem.prompt for problem in countdown.training_problems(3, 5)]}
    assert len(task.held_out()["prompt"]) == 128
