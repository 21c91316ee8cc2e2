"""An update of the bench is the library's loss, torch's clipping and torch's Adam; runs do not see each other."""

import pytest
import science_batches
import torch

import bandpo
from bandpo.views.specs import parse_specs
from benchmarks.science import products
from benchmarks.science.rules import rules_of
from benchmarks.science.stack import Run, Settings, Stack
from benchmarks.science.update import Optimizer, group_advantages, loss_of, minibatches

REFUSED = {"dppo-topk-tv", "dppo-topk-kl", "clip-cov"}


def test_every_method_has_the_loss_of_the_library():
    specs = science_batches.specs_in_order(",".join(name for name in bandpo.methods() if name not in REFUSED))
    rollout, rules = science_batches.rollout(specs)
    policies = science_batches.policies(len(specs))
    (batch,) = minibatches(rollout, science_batches.in_order(len(specs)), 1, rules)
    losses, stopped = loss_of(policies, batch, rules)
    ids, mask, old, advantages = science_batches.batch()
    runs = torch.zeros(len(ids), dtype=torch.long)
    logits = science_batches.policies(1).logits(ids[:, :-1], runs, [len(ids)], 5).detach()
    logp = torch.log_softmax(logits, -1).gather(-1, ids[:, 6:].unsqueeze(-1)).squeeze(-1)
    others = {
        "entropy": bandpo.token_entropy(logits),
        "logits": logits,
        "group_rewards": rollout.group_rewards[0],
        "progress": 0.5,
    }
    for number, spec in enumerate(specs):
        method = bandpo.get_method(spec.method)
        given = {name: value for name, value in others.items() if name in method.inputs}
        expected = bandpo.policy_loss(
            logp, old, advantages, mask, method=spec.method, anchor="old", **given, **dict(spec.hyperparameters)
        )
        torch.testing.assert_close(losses[number], expected.loss, rtol=1e-5, atol=2e-6, msg=spec.label)
        if spec.method in ("grpo", "band-kl", "band-upper"):
            assert stopped[number] == expected.metrics["clip"][0] > 0, spec.label


def test_batched_products_have_the_same_gradients(monkeypatch):
    specs = science_batches.specs_in_order("grpo,band-kl,maspo")
    rollout, rules = science_batches.rollout(specs)
    rollout.advantages[1, :17] = 0.0
    policies, found = science_batches.policies(3), []
    for is_batched in (False, True):
        monkeypatch.setattr(products, "is_batched", lambda tensor, answer=is_batched: answer)
        batches = list(minibatches(rollout, science_batches.in_order(3), 2, rules))
        assert (len(set(batches[0].counts)) == 1) == is_batched
        optimizer = Optimizer(policies, [1e-4] * 3, 1.0)
        found.append([optimizer.gradients(loss_of(policies, batch, rules)[0]) for batch in batches])
    for ragged, batched in zip(*found, strict=True):
        assert (ragged - batched).abs().max() < 2e-5 * ragged.abs().max()


def test_what_the_bench_does_not_have_is_refused():
    for label in (*REFUSED, "flex-entropy:strategy=od"):
        with pytest.raises(ValueError, match="the bench has none"):
            rules_of(parse_specs(label))


def test_a_step_is_adams_behind_a_clipped_norm():
    policies = science_batches.policies(2)
    optimizer = Optimizer(policies, [1e-3, 2e-4], max_grad_norm=0.5)
    alone = [policies.flat[run].clone().requires_grad_() for run in range(2)]
    theirs = [torch.optim.Adam([alone[0]], lr=1e-3), torch.optim.Adam([alone[1]], lr=2e-4)]
    gradients = torch.randn(3, 2, policies.flat.shape[1], generator=torch.Generator().manual_seed(0)) * 1e-3
    gradients[1, 0] *= 100.0
    gradients[2, 1] = 0.0
    sizes = [parameter[0].numel() for parameter in policies.parameters.values()]
    for of_runs in gradients:
        parts = zip(policies.parameters.values(), of_runs.split(sizes, 1), strict=True)
        optimizer.step(torch.stack([(parameter.flatten(1) * part).sum(1) for parameter, part in parts]).sum(0))
        for run, (parameter, adam) in enumerate(zip(alone, theirs, strict=True)):
            parameter.grad = of_runs[run].clone()
            torch.nn.utils.clip_grad_norm_(parameter, 0.5)
            adam.step()
    moved = (policies.flat - science_batches.policies(2).flat).abs().mean()
    for run in range(2):
        assert (policies.flat[run] - alone[run]).abs().max() < 2e-5 * moved + 1e-7


def test_advantages_are_a_groups():
    advantages, groups = group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]]), 3)
    expected = (torch.tensor([1.0, 0.0, 0.0]) - 1 / 3) / (1 / 3**0.5 + 1e-4)
    torch.testing.assert_close(advantages[0], torch.cat([expected, torch.zeros(3)]))
    torch.testing.assert_close(groups[0, 2], torch.tensor([2 / 3, -1 / 3, -1 / 3]))


def test_a_run_alone_is_the_run_in_a_stack():
    settings = Settings(updates=8, prompts=8, each=8, minibatches=4, samples=8)
    runs = [Run(spec, rate, 3) for spec in parse_specs("grpo,band-kl,maspo") for rate in (1e-3, 2e-4)]
    stack = Stack(runs, settings)
    together = [stack.rollout()]
    for number, run in enumerate(stack.runs):
        if run.learning_rate == 1e-3:
            alone = Stack([run], settings)
            means = alone.rollout()
            assert torch.equal(alone.policies.flat[0], stack.policies.flat[number]), run.spec.label
            assert all(torch.equal(means[name][0], together[0][name][number]) for name in means)
    assert not torch.equal(stack.policies.flat[0], stack.policies.flat[1])
