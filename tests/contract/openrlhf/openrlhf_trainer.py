"""OpenRLHF's own `ActorPPOTrainer` in one process: trains a tiny model with BandPO on what the model itself generates.

    python openrlhf_trainer.py MODEL METHOD STEPS OUT.json

Its actor model, replay buffer, loop over epochs and micro-batches, and loss normalisation are OpenRLHF's. Ours is the
strategy, one rank of plain torch in DeepSpeed's place; deepspeed, flash-attn and vLLM are imported and not used.
Reward: share of a response's tokens below `GOOD`.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cuda_as_cpu
import torch
import unused
from tiny import answers, group_advantages

GOOD, GROUP, GROUPS, LENGTH = 4, 8, 4, 8
UNUSED = (
    "deepspeed",
    "deepspeed.ops.adam",
    "deepspeed.runtime.zero.partition_parameters",
    "flash_attn.bert_padding",
    "flash_attn.utils.distributed",
    "vllm.inputs",
    "vllm.utils",
)


class OneRank:
    """What `ActorPPOTrainer` asks of its strategy."""

    ring_attn_group, accumulated_gradient, norm = None, 1, 0.0

    def __init__(self, args):
        self.args = args

    def is_rank_0(self):
        return False  # no progress bars

    def backward(self, loss, model, optimizer):
        loss.backward()

    def optimizer_step(self, optimizer, model, scheduler, name):
        self.norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

    def all_reduce(self, data):
        return data

    def get_grad_norm(self, model):
        return self.norm


def nested(**dotted):
    """Arguments as OpenRLHF nests them, from names with two underscores for a dot."""
    found = SimpleNamespace()
    for name, value in dotted.items():
        *groups, last = name.split("__")
        place = found
        for group in groups:
            if not hasattr(place, group):
                setattr(place, group, SimpleNamespace())
            place = getattr(place, group)
        setattr(place, last, value)
    return found


def arguments():
    return nested(
        train__max_epochs=3,
        train__dynamic_batch_enable=False,
        train__colocate_all=False,
        train__async_enable=False,
        actor__eps_clip_low_high=[0.2, 0.2],
        actor__dual_clip=None,
        actor__loss_agg_mode="token-mean",
        actor__policy_loss_type="ppo",
        actor__aux_loss_coef=0.0,
        actor__entropy_coef=None,
        algo__advantage__is_correction_level="off",
        algo__advantage__is_correction_mode="mask",
        algo__advantage__is_correction_gating="ratio",
        algo__advantage__is_correction_threshold=[0.5, 5.0],
        algo__kl__use_loss=False,
        ds__packing_samples=False,
        ds__tensor_parallel_size=1,
        vllm__sync_backend="gloo",
    )


def trainer(model, options):
    """OpenRLHF's trainer with our loss in the place where our Ray actor puts it."""
    from openrlhf.models import Actor
    from openrlhf.trainer.ray import ppo_actor

    from bandpo.engines.openrlhf import adapter

    adapter.check_release()
    ppo_actor.PolicyLoss = adapter.policy_loss(ppo_actor.PolicyLoss, options)
    # It loads in 16 bits alone.
    actor = Actor(model, attn_implementation="eager", param_dtype="bf16").float()
    optimizer = torch.optim.AdamW(actor.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    # Its replay buffer writes the device as "cuda:0"; nothing is sent there.
    torch.cuda.current_device, on_cpu = (lambda: 0), torch.cuda.current_device
    made = ppo_actor.ActorPPOTrainer(
        OneRank(arguments()), actor, None, optimizer, scheduler, micro_train_batch_size=16, dataloader_pin_memory=False
    )
    torch.cuda.current_device = on_cpu
    return made


@torch.no_grad()
def experience(actor):
    """Answers of the model to prompts of one token, as OpenRLHF's experience maker hands them on, and their reward."""
    from openrlhf.trainer.ppo_utils import Experience

    prompts = torch.arange(2, 2 + GROUPS).repeat_interleave(GROUP)[:, None]
    ids = answers(actor.model, prompts, LENGTH)
    reward = (ids[:, 1:] < GOOD).float().mean(1)
    advantages = group_advantages(reward, GROUPS)
    mask, ones = torch.ones(len(ids), LENGTH, dtype=torch.bool), torch.ones_like(ids)
    old = actor(ids, mask, attention_mask=ones)
    made = Experience(
        sequences=ids,
        attention_mask=ones,
        action_mask=mask,
        action_log_probs=old,
        advantages=advantages.expand(-1, LENGTH).clone(),
        prompts=[""] * len(ids),
        labels=[""] * len(ids),
        index=list(range(len(ids))),
    )
    return made, reward.mean().item()


def main(model, method, steps, out):
    unused.stand_in(*UNUSED)
    cuda_as_cpu.pretend()
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    made = trainer(model, {"method": method, "band_delta": 0.002})
    stock_step, seen = made.training_step, []

    def training_step(*arguments):
        status = stock_step(*arguments)
        seen[-1].append({name: float(status["metrics"][name]) for name in ("policy_loss", "ppo_clip_ratio")})
        return status

    made.training_step = training_step
    torch.manual_seed(0)
    rewards = []
    for _ in range(int(steps)):
        batch, reward = experience(made.actor)
        rewards.append(reward)
        seen.append([])
        made.replay_buffer.append(batch)
        made.ppo_train(0.0)
        made.replay_buffer.clear()
    loss = f"{type(made.actor_loss_fn).__module__}.{type(made.actor_loss_fn).__name__}"
    Path(out).write_text(json.dumps({"loss": loss, "rewards": rewards, "updates": seen}))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
