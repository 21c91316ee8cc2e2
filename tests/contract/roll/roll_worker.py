"""ROLL's own RLVR actor worker, of our `worker_cls`: trains a tiny model with BandPO on what it itself generates.

    BANDPO_SOURCES=DIR python roll_worker.py MODEL METHOD STEPS OUT.json

The configuration, worker, its storage in Ray, FSDP2 strategy on the CPU platform, generation, old log-probs and the
loop over epochs and mini-batches are ROLL's. Ours stands in the pipeline's place: it makes advantages of rewards.
Reward: share of a response's tokens below `GOOD`.
"""

import json
import os
import sys
import uuid
from pathlib import Path

import numpy
import torch
import unused
from tiny import group_advantages, write_tokenizer

GOOD, GROUP, GROUPS, LENGTH = 4, 8, 4, 8
UNUSED = ("flash_attn", "imageio", "modelscope", "pybase64", "transfer_queue", "trl")
MEMORY = (
    "device_memory_used",
    "empty_cache",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
)


def stand_ins():
    """Put the checkout on the path, and in place what ROLL asks of a GPU: how much memory it has in use."""
    sys.path.insert(0, str(Path(os.environ["BANDPO_SOURCES"], "roll")))
    unused.stand_in_whole(*UNUSED)
    from roll.platforms.cpu import CpuPlatform

    for name in MEMORY:
        setattr(CpuPlatform, name, staticmethod(lambda *_: 0))


def configuration(model, method):
    """ROLL's configuration of an RLVR run, made of what its YAML would hold."""
    from dacite import from_dict
    from roll.pipeline.rlvr.rlvr_config import RLVRConfig

    options = {
        "exp_name": "tiny",
        "output_dir": str(Path(model).parent),
        "logging_dir": str(Path(model).parent / "logs"),
        "pretrain": model,
        "reward_pretrain": model,
        "seed": 0,
        "prompt_length": 1,
        "response_length": LENGTH,
        "rollout_batch_size": GROUPS,
        "num_return_sequences_in_group": GROUP,
        "ppo_epochs": 3,
        "init_kl_coef": 0.0,
        "actor_train": {
            "worker_cls": "bandpo.engines.roll.BandActorWorker",
            "system_envs": {"BANDPO": json.dumps({"method": method, "band_delta": 0.002})},
            "device_mapping": "[0]",
            "infer_batch_size": GROUPS * GROUP,
            "model_args": {"dtype": "fp32", "attn_implementation": "sdpa", "disable_gradient_checkpointing": True},
            "training_args": {
                "learning_rate": 3e-3,
                "lr_scheduler_type": "constant",
                "per_device_train_batch_size": GROUPS * GROUP // 2,
            },
            "strategy_args": {
                "strategy_name": "fsdp2_train",
                "strategy_config": {"fsdp_size": 1, "param_dtype": "float32", "reduce_dtype": "float32"},
            },
        },
        "actor_infer": {"generating_args": {}},
        "rewards": {},
    }
    config = from_dict(RLVRConfig, options)
    config.set_max_steps(1000)
    return config


def rollout(worker):
    """What the worker's own model generates, as ROLL's pipeline hands it on to training, and its mean reward."""
    from roll.distributed.scheduler.protocol import DataProto

    prompts = torch.arange(2, 2 + GROUPS).repeat_interleave(GROUP)[:, None]
    given = DataProto.from_dict({"input_ids": prompts, "attention_mask": torch.ones_like(prompts)})
    sampling = {
        "do_sample": True,
        "top_k": 0,
        "max_new_tokens": LENGTH,
        "min_new_tokens": LENGTH,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    with torch.no_grad():
        ids = worker.strategy.generate(given, sampling)
    reward = (ids[:, 1:] < GOOD).float().mean(1)
    ones = torch.ones_like(ids)
    data = DataProto.from_dict(
        {
            "input_ids": ids,
            "attention_mask": ones,
            "position_ids": torch.arange(ids.shape[1]).expand_as(ids).clone(),
            "response_mask": ones.index_fill(1, torch.tensor([0]), 0),
            "advantages": group_advantages(reward, GROUPS).expand(-1, LENGTH).clone(),
        }
    )
    data.non_tensor_batch["sample_uuid"] = numpy.array([str(uuid.uuid4()) for _ in ids], dtype=object)
    data.meta_info = {"loss_mask_keys": ["response_mask"], "is_offload_states": False}
    return data, reward.mean().item()


def step(worker):
    """Generate, take old log-probs and train; the reward and ROLL's metrics."""
    data, reward = rollout(worker)
    old = worker.compute_log_probs(data).batch["log_probs"]
    data.batch["old_log_probs"], data.batch["ref_log_probs"] = old, old.clone()
    data.batch["train_infer_is_weight"] = torch.ones_like(old)
    return reward, worker.train_step(data).meta_info["metrics"]


def watched(worker):
    """What the worker's loss was handed and said, a list that grows with its calls."""
    seen, loss_func = [], worker.loss_func

    def watching(data, logits):
        loss, metrics = loss_func(data, logits)
        ids, mask = data.batch["input_ids"], data.batch["response_mask"]
        new = worker.strategy.op_compute_log_probs(logits=logits.detach(), input_ids=ids, attention_mask=mask)
        given = {"new": new, "old": data.batch["old_log_probs"], "advantages": data.batch["advantages"]}
        seen.append({"loss": loss.item(), **{name: value.tolist() for name, value in given.items()}})
        return loss, metrics

    worker.loss_func = watching
    return seen


def plain(value):
    """Metrics as JSON holds them."""
    return [plain(one) for one in value] if isinstance(value, list) else float(value)


def main(model, method, steps, out):
    os.environ["ROLL_LOG_DIR"] = str(Path(out).parent / "logs")
    stand_ins()
    import ray
    from roll.utils.import_utils import safe_import_class

    torch.set_num_threads(1)
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "CLUSTER_NAME": "actor_train", "WORKER_NAME": "actor_train-0"}
    write_tokenizer(model)
    config = configuration(model, method)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    worker = safe_import_class(config.actor_train.worker_cls)(config.actor_train)
    worker.initialize(config)
    torch.manual_seed(0)
    seen = watched(worker)
    runs = [step(worker) for _ in range(int(steps))]
    found = {
        "worker": [f"{of.__module__}.{of.__qualname__}" for of in type(worker).__mro__[:2]],
        "sharded": type(worker.strategy.model).__name__,
        "rewards": [reward for reward, _ in runs],
        "first": seen[:6],
        "metrics": [{name: plain(value) for name, value in said.items()} for _, said in runs],
    }
    Path(out).write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
