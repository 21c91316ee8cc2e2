"""AReaL's own `PPOTrainer` on a CPU: trains a tiny model with BandPO on what the model itself generates.

    TORCH_COMPILE_DISABLE=1 python areal_trainer.py MODEL METHOD STEPS OUT.json

All is AReaL's, in the one process of its SPMD mode: configuration, data loader, rollouts with its RLVR workflow, FSDP
engine over gloo, recomputed log-probs, advantages, updates, weights to the sampler by disk, a checkpoint for recovery.
Ours is the vLLM server that its rollout engine asks. Reward: share of a response's tokens below `GOOD`. After METHOD
two others train for two steps: one that is no interval, and one anchored on the sampler, on rollouts a version old.
"""

import json
import os
import socket
import sys
from pathlib import Path
from unittest.mock import patch

import torch
import yaml
from areal_server import Server
from tiny import write_tokenizer

GOOD, GROUP, GROUPS, LENGTH, UPDATES = 4, 8, 4, 8, 4


def configuration(model, folder, name, steps, staleness):
    """AReaL's configuration, read from a YAML file as its training scripts do."""
    from areal.api.cli_args import GRPOConfig, load_expr_config

    run = {"experiment_name": "areal", "trial_name": name}
    place = {**run, "fileroot": str(folder)}
    rollout = {"backend": "vllm:d1", "consumer_batch_size": GROUPS, "max_head_offpolicyness": staleness}
    actor = {
        "backend": "fsdp:d1",
        "path": model,
        "dtype": "float32",
        "attn_impl": "sdpa",
        # Only flash-attn keeps packed sequences apart; without it a micro-batch is one.
        "mb_spec": {"max_tokens_per_mb": 1 + LENGTH},
        "optimizer": {"lr": 3e-3, "warmup_steps_proportion": 0.0},
        "ppo_n_minibatches": UPDATES,
        "kl_ctl": 0.0,
        "use_decoupled_loss": True,
        "reward_norm": {"mean_level": "group", "std_level": "group", "group_size": GROUP},
        "weight_update_mode": "disk",
    }
    settings = {
        **run,
        "tokenizer_path": model,
        "total_train_epochs": steps,
        "cluster": {"fileroot": str(folder), "name_resolve": {"nfs_record_root": str(folder / "names")}},
        "rollout": {**place, **rollout},
        "gconfig": {"n_samples": GROUP, "max_new_tokens": LENGTH, "ignore_eos": True},
        "actor": {**run, **actor},
        "train_dataset": {"batch_size": GROUPS, "shuffle": False, "path": "", "type": "rl"},
        "saver": place,
        "recover": {**place, "mode": "on", "freq_epochs": steps},
        "evaluator": place,
        "stats_logger": {**place, "wandb": {"mode": "disabled"}},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings))
    return load_expr_config(["--config", str(file)], GRPOConfig)[0]


def first_token(data):
    return data["first"]


def as_prompt(token, tokenizer, enable_thinking):
    return [token]


def reward(prompt, completion, prompt_ids, completion_ids, **_):
    return sum(token < GOOD for token in completion_ids) / len(completion_ids)


class Watch:
    """What AReaL hands to its loss and its statistics while it trains.

    Attributes:
        updates: of each optimizer step a list of micro-batches.
        exported: of each batch what AReaL's tracker exports.
    """

    def __init__(self, trainer):
        from areal.trainer.ppo import actor

        self.updates, self.exported = [], []
        self.stock = {"loss": actor.grpo_loss_fn, "update": trainer.actor.train_batch}
        self.stock["commit"] = trainer.stats_logger.commit
        self.patches = [
            patch.object(actor, "grpo_loss_fn", self.loss),
            patch.object(trainer.actor, "train_batch", self.update),
            patch.object(trainer.stats_logger, "commit", self.commit),
        ]

    def __enter__(self):
        for one in self.patches:
            one.start()
        return self

    def __exit__(self, *_):
        for one in self.patches:
            one.stop()

    def update(self, *arguments, **options):
        self.updates.append([])
        return self.stock["update"](*arguments, **options)

    def loss(self, logprobs, entropy, input_data, **settings):
        loss = self.stock["loss"](logprobs, entropy, input_data, **settings)
        (gradient,) = torch.autograd.grad(loss, logprobs, retain_graph=True)
        mask = input_data["loss_mask"].bool()
        tokens = {"new": logprobs, "gradient": gradient, "proximal": input_data["prox_logp"]}
        tokens |= {"sampler": input_data["logprobs"], "advantages": input_data["advantages"]}
        said = {name: each[mask].tolist() for name, each in tokens.items()}
        self.updates[-1].append({**said, "loss": loss.item(), **last_statistics()})
        return loss

    def commit(self, epoch, step, global_step, data):
        self.exported.append(data)
        self.stock["commit"](epoch, step, global_step, data)


def last_statistics():
    """What AReaL's tracker was last given: its own count of clipped tokens, and ours."""
    from areal.utils.stats_tracker import DEFAULT_TRACKER as TRACKER

    update = "ppo_actor/update/"
    clipped, ours = TRACKER.stats[f"{update}clipped_tokens"][-1], TRACKER.stats[f"{update}band/clip"][-1]
    return {"clipped": int(clipped.sum()), "band/clip": ours}


def train(model, folder, options, steps, staleness=0):
    """AReaL's training script, with our page's line in it."""
    from areal import PPOTrainer

    from bandpo.engines import areal

    areal.install(options)
    server = Server(model)
    os.environ["AREAL_LLM_SERVER_ADDRS"] = server.address
    name = options["method"]
    config = configuration(model, folder, name, steps, staleness)
    workflow = {
        "reward_fn": reward,
        "gconfig": config.gconfig,
        "tokenizer": config.tokenizer_path,
        "get_input_ids_fn": as_prompt,
        "data_extract_prompt_fn": first_token,
    }
    prompts = [{"first": token} for token in range(2, 2 + GROUPS)]
    with PPOTrainer(config, train_dataset=prompts) as trainer, Watch(trainer) as seen:
        engine, model = type(trainer.actor), trainer.actor.model
        trainer.train(workflow="areal.workflow.rlvr.RLVRWorkflow", workflow_kwargs=workflow)
    server.close()
    return {
        "engine": f"{engine.__module__}.{engine.__name__}",
        "sharded": type(model).__name__,
        "rewards": [data["ppo_actor/task_reward/avg"] for data in seen.exported],
        "batches": [seen.updates[i : i + UPDATES] for i in range(0, len(seen.updates), UPDATES)],
        "exported": seen.exported,
        "loads": server.loads,
        "saved": [path.name for path in folder.rglob("*.distcp") if name in path.parts],
    }


def be_the_only_rank():
    """Set the variables by which AReaL's launcher tells a trainer its rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({**ranks, "AREAL_SPMD_MODE": "1"})


def main(model, method, steps, out):
    be_the_only_rank()
    torch.set_num_threads(1)
    write_tokenizer(model)
    folder = Path(out).parent
    runs = [
        train(model, folder, {"method": method, "band_delta": 0.0005}, int(steps)),
        train(model, folder, {"method": "sapo"}, 2),
        train(model, folder, {"method": "dppo-tv"}, 2, staleness=1),
    ]
    Path(out).write_text(json.dumps(dict(zip(("first", "sapo", "dppo-tv"), runs, strict=True))))


if __name__ == "__main__":
    main(*sys.argv[1:])
