"""Loss and gradients of the bench are those of TRL's trainer on the same batch."""

import os

os.environ |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}

import pytest

pytest.importorskip("trl", reason="TRL is not installed: pip install 'bandpo[train]'")

import science_batches
import torch
from datasets import Dataset
from transformers import AutoTokenizer, GPT2LMHeadModel

from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.tasks import countdown
from benchmarks.science.update import loss_of, minibatches

METHODS = "grpo,band-kl,band-upper:eps_low=0.05,band-mirror,dual-clip:dual_clip=1.5,cispo,gspo,maspo"


def by_trl(spec, folder):
    """Loss and gradients by name of TRL's trainer."""
    ids, mask, old, advantages = science_batches.batch()
    options = dict(spec.hyperparameters)
    config = BandGRPOConfig(
        output_dir=str(folder),
        method=spec.method,
        method_kwargs=options or None,
        loss_type="grpo",
        beta=0.0,
        num_generations=8,
        per_device_train_batch_size=32,
        num_iterations=2,
        max_completion_length=countdown.ANSWER_TOKENS,
        temperature=1.0,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
    )
    model = GPT2LMHeadModel.from_pretrained(countdown.policy_path())
    trainer = BandGRPOTrainer(
        model,
        countdown.reward,
        config,
        train_dataset=Dataset.from_dict({"prompt": [problem.prompt for problem in countdown.training_problems(32, 0)]}),
        processing_class=AutoTokenizer.from_pretrained(countdown.policy_path()),
    )
    trainer.current_gradient_accumulation_steps = 1
    model.train()
    inputs = {
        "prompt_ids": ids[:, :6],
        "prompt_mask": torch.ones_like(ids[:, :6]),
        "completion_ids": ids[:, 6:],
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "num_items_in_batch": mask.sum(),
    }
    loss = trainer.compute_loss(model, inputs)
    loss.backward()
    return loss.detach(), {name: value.grad for name, value in model.named_parameters()}


@pytest.fixture(scope="module")
def ours():
    specs = science_batches.specs_in_order(METHODS)
    rollout, rules = science_batches.rollout(specs)
    policies = science_batches.policies(len(specs))
    (batch,) = minibatches(rollout, science_batches.in_order(len(specs)), 1, rules)
    losses, _ = loss_of(policies, batch, rules)
    gradients = torch.autograd.grad(losses.sum(), list(policies.parameters.values()))
    return {
        spec.label: (losses[run].detach(), {n: g[run] for n, g in zip(policies.parameters, gradients, strict=True)})
        for run, spec in enumerate(specs)
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spec", science_batches.specs_in_order(METHODS), ids=lambda spec: spec.label)
def test_loss_and_gradients_are_trls(spec, ours, tmp_path):
    loss, gradients = ours[spec.label]
    their_loss, theirs = by_trl(spec, tmp_path)
    assert gradients.keys() == theirs.keys()
    largest = max(gradient.abs().max() for gradient in theirs.values())
    apart = max((gradients[name] - theirs[name]).abs().max() for name in theirs)
    print(f"{spec.label}: loss {loss - their_loss:.1e}, gradient {apart / largest:.1e} of the largest")
    torch.testing.assert_close(loss, their_loss, rtol=1e-5, atol=2e-6)
    assert apart < 2e-5 * largest
