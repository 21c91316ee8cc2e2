"""One rank of verl's real `TrainingWorker`: trains a tiny model with BandPO on what the model itself generates.

    RANK=0 WORLD_SIZE=1 ... VERL_PLATFORM=cpu python verl_worker.py MODEL METHOD STEPS OUT.json

Reward: share of a response's tokens below `GOOD`. Rank 0 writes the rewards, what was clipped, metrics, and loss and
gradient norm of a first update on a batch that is the same however many ranks share it.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

import torch

VOCABULARY, GOOD, GROUP, GROUPS, LENGTH = 32, 4, 8, 4, 8
RANK, RANKS = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
POLICY = "actor_rollout_ref.actor.policy_loss"


def configuration(model, method):
    """verl's own configuration of the actor and its model, composed by hydra."""
    import verl
    import verl.workers.engine_workers  # as in a worker's process, before its configuration is made
    from hydra import compose, initialize_config_dir
    from verl.utils.config import omega_conf_to_dataclass

    overrides = [
        f"{POLICY}._target_=bandpo.engines.verl.BandPolicyLossConfig",
        f"{POLICY}.loss_mode=bandpo",
        f"+{POLICY}.method={method}",
        f"+{POLICY}.band_delta=0.002",
        f"+{POLICY}.method_kwargs.dual_clip=null",
        "actor_rollout_ref.actor.strategy=fsdp2",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.actor.use_torch_compile=False",
        "actor_rollout_ref.actor.fsdp_config.use_torch_compile=False",
        "actor_rollout_ref.actor.fsdp_config.model_dtype=fp32",
        "+actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype=fp32",
        "actor_rollout_ref.actor.optim.lr=2e-3",
        "actor_rollout_ref.actor.optim.total_training_steps=1000",
        f"actor_rollout_ref.model.path={model}",
        "+actor_rollout_ref.model.load_tokenizer=False",
        "actor_rollout_ref.model.use_remove_padding=False",
        "+actor_rollout_ref.model.override_config.attn_implementation=eager",
        "actor_rollout_ref.model.enable_gradient_checkpointing=False",
    ]
    folder = Path(verl.__file__).parent / "trainer" / "config"
    with initialize_config_dir(config_dir=str(folder), version_base=None):
        config = compose("ppo_trainer", overrides=overrides).actor_rollout_ref
    actor, hf_model = omega_conf_to_dataclass(config.actor), omega_conf_to_dataclass(config.model)
    actor.model_config = hf_model
    return actor, hf_model


def training_worker(actor, hf_model):
    """The worker, with the loss bound to it as verl's `ActorRolloutRefWorker` does."""
    from verl.workers.config import TrainingWorkerConfig
    from verl.workers.engine_workers import TrainingWorker
    from verl.workers.utils.losses import ppo_loss

    engine = actor.engine
    engine.micro_batch_size_per_gpu = engine.infer_micro_batch_size_per_gpu = 8
    engine.use_dynamic_bsz = False
    worker = TrainingWorker(
        TrainingWorkerConfig(
            model_type="language_model",
            model_config=hf_model,
            engine_config=engine,
            optimizer_config=actor.optim,
            checkpoint_config=actor.checkpoint,
            profiler_config=None,
        )
    )
    worker.reset()
    worker.set_loss_fn(partial(ppo_loss, config=actor))
    return worker


def packed(ids, old, advantages, prompt, mini_batch, epochs):
    """This rank's rows as verl's trainer hands them to a worker: jagged, with what the engine needs beside them."""
    from tensordict import TensorDict
    from verl.utils import tensordict_utils as tu
    from verl.utils.dataset.dataset_utils import DatasetPadMode

    def nest(rows):
        return torch.nested.as_nested_tensor([row.clone() for row in rows], layout=torch.jagged)

    ones = torch.ones(len(ids), ids.shape[1] - prompt)
    fields = {
        "prompts": nest(ids[:, :prompt]),
        "responses": nest(ids[:, prompt:]),
        "input_ids": nest(ids),
        "position_ids": nest(torch.arange(ids.shape[1]).expand(ids.shape)),
        "loss_mask": nest(torch.cat([torch.zeros(len(ids), prompt), ones], 1)),
        "response_mask": nest(ones),
        "old_log_probs": nest(old),
        "advantages": nest(advantages[:, None] * ones),
    }
    data = TensorDict(fields, batch_size=[len(ids)])
    tu.assign_non_tensor(
        data,
        temperature=1.0,
        use_remove_padding=False,
        use_dynamic_bsz=False,
        use_fused_kernels=False,
        micro_batch_size_per_gpu=8,
        pad_mode=DatasetPadMode.NO_PADDING,
        calculate_entropy=False,
        mini_batch_size=mini_batch,
        global_batch_size=mini_batch,
        epochs=epochs,
        seed=0,
        compute_loss=True,
    )
    return data


def log_probs(worker, ids, prompt):
    """What verl's trainer calls old_log_probs: the worker's own, of the responses."""
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import no_padding_2_padding

    zeros = torch.zeros(len(ids), ids.shape[1] - prompt)
    data = packed(ids, zeros, torch.zeros(len(ids)), prompt, None, 1)
    tu.assign_non_tensor(data, compute_loss=False)
    return no_padding_2_padding(worker.infer_batch(data)["log_probs"], data).detach().float()


def generate(worker):
    """Prompts of one token, GROUP answers to each, by the model that is being trained."""
    prompts = torch.arange(GROUPS).repeat_interleave(GROUP)[:, None]
    with worker.engine.eval_mode(), torch.no_grad():
        return worker.engine.module.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            top_k=0,
            max_new_tokens=LENGTH,
            min_new_tokens=LENGTH,
            eos_token_id=None,
            pad_token_id=0,
        )


def update(worker, data):
    """Metrics of verl's own mini-batch loop, one list over its updates each."""
    from verl.utils import tensordict_utils as tu

    return tu.get(worker.train_mini_batch(data), "metrics")


def first_update(worker):
    """Loss and gradient norm on a batch that the ranks share; their number must not matter."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, VOCABULARY, (16, 2 + LENGTH), generator=generator)
    advantages = torch.randn(16, generator=generator)
    noise = 0.3 * torch.randn(16, LENGTH, generator=generator)
    mine = slice(RANK * 16 // RANKS, (RANK + 1) * 16 // RANKS)
    old = log_probs(worker, ids[mine], 2) + noise[mine]
    metrics = update(worker, packed(ids[mine], old.clamp_max(-1e-3), advantages[mine], 2, 16, 1))
    return {name: float(metrics[name][0]) for name in ("loss", "grad_norm")}


def main(model, method, steps, out):
    import verl_cpu

    verl_cpu.register()
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=RANK, world_size=RANKS)
    actor, hf_model = configuration(model, method)
    verl_cpu.register_engine()
    worker = training_worker(actor, hf_model)
    found = {"engine": type(worker.engine).__name__, "sharded": type(worker.engine.module).__name__}
    found["first"] = first_update(worker)
    torch.manual_seed(RANK)
    rewards, clipped, metrics, first_uses = [], [], {}, []
    for _ in range(int(steps)):
        ids = generate(worker)
        reward = (ids[:, 1:] < GOOD).float().mean(1)
        groups = reward.view(GROUPS, GROUP)
        advantages = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
        old = log_probs(worker, ids, 1)
        metrics = update(worker, packed(ids, old, advantages, 1, RANKS * GROUP * GROUPS // 2, 2))
        clipped.append([float(share) for share in metrics["actor/pg_clipfrac"]])
        first_uses.append([float(error) for error in metrics.get("actor/band/first_ratio_error", [])])
        mean = reward.mean()
        torch.distributed.all_reduce(mean)
        rewards.append(mean.item() / RANKS)
    if RANK == 0:
        numbers = {name: [float(v) for v in values] for name, values in metrics.items() if name.startswith("actor/")}
        found |= {"rewards": rewards, "clipped": clipped, "metrics": numbers, "first_uses": first_uses}
        Path(out).write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
