"""Problems, rewards and policies of the bench are those of the embedded task."""

import json

import science_batches
import torch

from bandpo.tasks import countdown
from benchmarks.science.tasks import TASKS, WORDS, encode, rewards, well_formed


def test_words_are_the_tokenizers():
    vocabulary = json.loads((countdown.policy_path() / "tokenizer.json").read_text())["model"]["vocab"]
    assert [*WORDS] == sorted(vocabulary, key=vocabulary.get)


def test_rewards_are_the_tasks():
    generator = torch.Generator().manual_seed(0)
    problems = countdown.training_problems(200, 3)
    solutions = [answer for problem in problems for answer in _answers(problem)]
    prompts = [problem.prompt for problem in problems for _ in range(len(solutions) // len(problems))]
    ids = encode(solutions)
    is_changed = torch.rand(ids.shape, generator=generator) < 0.02
    ids = torch.where(is_changed, torch.randint(0, len(WORDS), ids.shape, generator=generator), ids)
    texts = [" ".join(WORDS[index] for index in row) for row in ids.tolist()]
    expected = countdown.reward(texts, prompts)
    assert rewards(encode(prompts), ids).tolist() == expected
    assert well_formed(ids).tolist() == [countdown.is_well_formed(text) for text in texts]
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
    task = TASKS["countdown-sums"]
    assert not any(map(countdown.needs_multiplication, [*task.held_out()[:10], *task.training(10, 0)]))
    known = {(tuple(sorted(problem.numbers)), problem.target) for problem in task.held_out()}
    assert len(known) == 128
    assert not any((tuple(sorted(each.numbers)), each.target) in known for each in task.training(2000, 1))


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
