"""Problems, rewards and policies of the bench are those of the embedded task."""

import json
import random
import sys
from itertools import islice

import pytest
import science_batches
import torch

from bandpo.tasks import countdown
from benchmarks.science.tasks import TASKS, first_move, quantum_lock, shortest_path

PRODUCTS, SUMS = TASKS["countdown"], TASKS["countdown-sums"]


def test_words_are_the_tokenizers():
    vocabulary = json.loads((countdown.policy_path() / "tokenizer.json").read_text())["model"]["vocab"]
    assert [*PRODUCTS.words] == sorted(vocabulary, key=vocabulary.get)


def test_rewards_are_the_tasks():
    generator = torch.Generator().manual_seed(0)
    problems = countdown.training_problems(200, 3)
    solutions = [answer for problem in problems for answer in _answers(problem)]
    prompts = [problem.prompt for problem in problems for _ in range(len(solutions) // len(problems))]
    ids = PRODUCTS.encode(solutions)
    is_changed = torch.rand(ids.shape, generator=generator) < 0.02
    ids = torch.where(is_changed, torch.randint(0, len(PRODUCTS.words), ids.shape, generator=generator), ids)
    texts = [" ".join(PRODUCTS.words[index] for index in row) for row in ids.tolist()]
    expected = countdown.reward(texts, prompts)
    asked = PRODUCTS.encode(prompts)
    assert PRODUCTS.rewards(asked, ids).tolist() == expected
    assert PRODUCTS.is_well_formed(asked, ids).tolist() == [countdown.is_well_formed(text) for text in texts]
    assert 0.05 < sum(expected) / len(expected) < 0.95


def _answers(problem):
    """One answer a pattern of operators, and the right one where it is among them."""
    a, b, c, d = problem.numbers
    texts = [f"{a} {x} {b} {y} {c} + {d}" for x in "+-*" for y in "+-*"]
    for order in ((a, b, c, d), (b, a, c, d), (c, d, a, b), (d, c, b, a)):
        for operators in (p + q + r for p in "+-*" for q in "+-*" for r in "+-*"):
            if countdown.evaluate_left_to_right(order, operators) == problem.target:
                return [*texts, " ".join(f"{n} {o}" for n, o in zip(order, [*operators, ""], strict=True)).strip()]
    return [*texts, texts[0]]


def test_sums_need_no_product():
    held_out = _problems(SUMS.held_out())
    assert not any(map(countdown.needs_multiplication, [*held_out[:10], *_problems(SUMS.training(10, 0))]))
    known = {problem.key for problem in held_out}
    assert len(known) == 128
    assert not any(problem.key in known for problem in _problems(SUMS.training(2000, 1)))


def _problems(rows):
    return [countdown.Problem.parse(" ".join(PRODUCTS.words[index] for index in row)) for row in rows.tolist()]


def test_first_moves_are_worth_what_arithmetic_says():
    task, rng = TASKS["first-move"], random.Random(4)
    pairs = [first_move.demonstration(rng, 0.5, 0.5) for _ in range(2000)]
    asked, answers = (task.encode(texts) for texts in zip(*pairs, strict=True))
    expected = [float(_reads_as(answer) == int(prompt.split()[-1])) for prompt, answer in pairs]
    assert task.rewards(asked, answers).tolist() == expected
    assert 0.4 < sum(expected) / len(expected) < 0.6
    assert task.is_well_formed(asked, answers).all()
    swapped = answers.clone()
    swapped[:, -1] = answers[:, -1] % 12 + 1 + task.words.index("1") - 1
    uses_all = [
        sorted(_numbers(task, row)) == sorted(a.split()[:4]) for row, (a, _) in zip(swapped, pairs, strict=True)
    ]
    assert not task.rewards(asked, swapped)[~torch.tensor(uses_all)].any()


def _numbers(task, row):
    return [word for word in (task.words[index] for index in row.tolist()) if word.isdecimal()]


def _reads_as(answer):
    words = answer.split()
    if words[0] == "*":
        words = [words[1], "*", *words[2:]]
    return eval("".join(words))


def test_a_third_of_the_problems_needs_the_first_move():
    task = TASKS["first-move"]
    needs = [countdown.needs_multiplication(problem) for problem in _problems(task.training(600, 5))]
    assert 0.28 < sum(needs) / len(needs) < 0.38
    assert not {*map(tuple, task.held_out().tolist())} & {*map(tuple, task.training(4000, 1).tolist())}


@pytest.mark.parametrize(("name", "module"), [("quantum-lock", quantum_lock), ("shortest-path", shortest_path)])
class TestReasoningGym:
    """Problems and scores are the library's."""

    def test_a_right_answer_is_what_the_library_pays_in_full(self, name, module):
        reasoning_gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
        task, rng = TASKS[name], random.Random(6)
        library = reasoning_gym.create_dataset(name.replace("-", "_"), seed=0, size=1)
        rows, texts, expected = [], [], []
        for entry in islice(module.LIBRARY.entries(7), 300):
            row = module.LIBRARY.row_of(entry)
            for _ in range(6):
                text = module.demonstration(rng, entry, 0.4, 0.6)
                rows, texts = [*rows, row], [*texts, text]
                expected.append(float(library.score_answer(text, entry) == 1.0))
        answers = [f"{text} {'<end> ' * (task.answer_tokens - len(text.split()))}" for text in texts]
        asked, ids = torch.tensor(rows), task.encode(answers)
        assert task.rewards(asked, ids).tolist() == expected
        assert 0.2 < sum(expected) / len(expected) < 0.8
        assert task.is_well_formed(asked, ids).all()
        assert 0.01 < task.is_rare(asked, ids).float().mean() < 0.9

    def test_what_is_no_move_earns_nothing(self, name, module):
        pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
        task = TASKS[name]
        entry = next(module.LIBRARY.entries(8))
        row = module.LIBRARY.row_of(entry)
        right = entry["answer"].replace("→", " ").split()
        for words in ([], ["->", *right[1:]], [*right[:-1], "<end>"], [*right, right[-1]]):
            padded = [*words, *["<end>"] * (task.answer_tokens - len(words))]
            assert not task.rewards(torch.tensor([row]), task.encode([" ".join(padded)])).any()

    def test_none_that_is_held_out_is_trained_on(self, name, module):
        pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
        task = TASKS[name]
        held_out = {*map(tuple, task.held_out().tolist())}
        assert len(held_out) == 128
        assert not held_out & {*map(tuple, task.training(1000, 1).tolist())}
        assert task.training(50, 1).tolist() == task.training(60, 1).tolist()[:50]


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ModuleNotFoundError, match="expected reasoning-gym"):
        next(quantum_lock.LIBRARY.entries(3))


def test_sampling_and_the_pass_agree():
    ids, *_ = science_batches.answers()
    policies = science_batches.policies(2)
    prompts = ids[:: science_batches.EACH, :6].expand(2, -1, -1)
    uniform = torch.rand(2, len(ids), 7, generator=torch.Generator().manual_seed(3))
    drawn = science_batches.sample(policies, prompts, uniform)
    rows = torch.cat([prompts.repeat_interleave(science_batches.EACH, 1), drawn.ids], -1).flatten(0, 1)
    runs = torch.arange(2).repeat_interleave(len(ids))
    log_p = torch.log_softmax(policies.logits(rows[:, :-1], runs, [len(ids)] * 2, 5), -1)
    expected = log_p.gather(-1, rows[:, 6:].unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(drawn.logp.flatten(0, 1), expected, rtol=0, atol=2e-5)
    entropy = -(log_p.exp() * log_p).sum(-1)
    torch.testing.assert_close(drawn.entropy.flatten(0, 1), entropy, rtol=0, atol=2e-5)
    edges = torch.log_softmax(policies.logits(rows[:, :-1], runs, [len(ids)] * 2, 5), -1).exp().cumsum(-1)
    low = torch.where(rows[:, 6:] > 0, edges.gather(-1, (rows[:, 6:] - 1).clamp_min(0).unsqueeze(-1)).squeeze(-1), 0.0)
    assert (low <= uniform.flatten(0, 1) + 1e-5).all()
