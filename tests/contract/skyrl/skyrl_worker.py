"""SkyRL's real FSDP policy worker in one process: trains a tiny model with BandPO on what the model itself generates.

    python skyrl_worker.py MODEL METHOD STEPS OUT.json

Reward: share of a response's tokens below `GOOD`. flash-attn is imported and not used.
"""

import json
import sys
from pathlib import Path

import cuda_as_cpu
import torch
import unused
from tiny import answers, group_advantages

GOOD, GROUP, GROUPS, LENGTH = 4, 8, 4, 8
ALGORITHM = "trainer.algorithm"


def configuration(model, method):
    """SkyRL's training configuration with our options, as its entrypoint makes it."""
    from bandpo.engines.skyrl import adapter

    return adapter.configure(
        [
            f"{ALGORITHM}.bandpo.method={method}",
            f"{ALGORITHM}.bandpo.band_delta=0.002",
            f"{ALGORITHM}.temperature=1.0",
            f"{ALGORITHM}.use_kl_loss=false",
            f"trainer.policy.model.path={model}",
            "trainer.policy.optimizer_config.lr=3e-3",
            "trainer.policy.optimizer_config.num_warmup_steps=0",
            "trainer.policy.fsdp_config.mixed_precision.param_dtype=fp32",
            "trainer.policy.fsdp_config.mixed_precision.reduce_dtype=fp32",
            "trainer.flash_attn=false",
            "trainer.remove_microbatch_padding=false",
            "trainer.gradient_checkpointing=false",
            "trainer.micro_train_batch_size_per_gpu=8",
            "trainer.micro_forward_batch_size_per_gpu=8",
        ]
    ).trainer


def policy_worker(config, model):
    from skyrl.backends.skyrl_train.workers.fsdp.fsdp_worker import FSDPPolicyWorkerBase

    worker = FSDPPolicyWorkerBase(
        cfg=config,
        world_size=1,
        rank=0,
        local_rank=0,
        master_addr="127.0.0.1",
        master_port=29511,
        sequence_parallel_size=1,
    )
    worker.init_worker_process_group()
    worker.init_model(model, num_training_steps=1000)
    return worker


def packed(ids, **fields):
    """Rows as SkyRL's trainer hands them to its workers: a prompt of one token, then the response."""
    from skyrl.backends.skyrl_train.training_batch import TrainingInputBatch

    ones = torch.ones(len(ids), ids.shape[1] - 1)
    data = TrainingInputBatch(
        {
            "sequences": ids,
            "attention_mask": torch.ones_like(ids),
            "loss_mask": ones,
            "response_mask": ones.long(),
            **fields,
        }
    )
    data.metadata = {"response_length": ids.shape[1] - 1}
    return data


def log_probs(output):
    return torch.tensor([row["logprobs"] for row in output.loss_fn_outputs])


def generate(worker):
    prompts = torch.arange(GROUPS).repeat_interleave(GROUP)[:, None]
    return answers(worker.model.model.eval(), prompts, LENGTH)


def step(worker, ids, updates=3):
    """One batch, updated on several times; what SkyRL's worker says of each, and what it was updated on."""
    from skyrl.backends.skyrl_train.utils.ppo_utils import apply_loss_reduction_to_advantages_minibatch

    reward = (ids[:, 1:] < GOOD).float().mean(1)
    advantages = group_advantages(reward, GROUPS)
    ones = torch.ones(len(ids), LENGTH)
    scaled = apply_loss_reduction_to_advantages_minibatch(
        advantages * ones, ones, worker.cfg.algorithm.loss_reduction, micro_batch_size=8, max_seq_len=LENGTH
    )
    old = log_probs(worker.forward(packed(ids)))
    data = packed(ids, action_log_probs=old, rollout_logprobs=old, advantages=scaled)
    said = []
    for _ in range(updates):
        output = worker.forward_backward(data)
        said.append({**output.metrics, "grad_norm": worker.optim_step(), "new": log_probs(output).tolist()})
    return reward.mean().item(), said, {"old": old.tolist(), "advantages": scaled.tolist()}


def main(model, method, steps, out):
    unused.stand_in("flash_attn.bert_padding")
    cuda_as_cpu.pretend()
    torch.set_num_threads(1)
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    worker = policy_worker(configuration(model, method), model)
    torch.manual_seed(0)
    runs = [step(worker, generate(worker)) for _ in range(int(steps))]
    found = {
        "sharded": type(worker.model.model).__name__,
        "rewards": [reward for reward, _, _ in runs],
        "said": [said for _, said, _ in runs],
        "first": runs[0][2],
    }
    Path(out).write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
