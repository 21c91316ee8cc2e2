"""AReaL's own `PPOTrainer` on a CPU: trains a tiny model with BandPO on what the model itself generates.

    python areal_trainer.py MODEL METHOD STEPS OUT.json

All is AReaL's, in the process of its SPMD mode: configuration, data loader, asynchronous rollouts with its RLVR workflow,
FSDP engine over gloo, recomputed log-probs, advantages, updates, weights to the sampler by disk, a checkpoint. Ours is the
vLLM server behind its rollout engine. Reward: share of a response's tokens below `GOOD`. After METHOD two others train
for a few steps: one that is no interval, and one that is anchored on the sampler, on rollouts that are one version old.
"""

import json
import os
import socket
import sys
from pathlib import Path

import torch
import yaml

GOOD, GROUP, GROUPS, LENGTH = 4, 8, 4, 8
UPDATE = "ppo_actor/update/"


def configuration(model, folder, name, steps, staleness):
    """AReaL's configuration, read from a YAML file as its training scripts do."""
    from areal.api.cli_args import GRPOConfig, load_expr_config

    run = {"experiment_name": "areal", "trial_name": name}
    place = run | {"fileroot": str(folder)}
    settings = run | {
        "tokenizer_path": str(model),
        "total_train_epochs": steps,
        "cluster": {"fileroot": str(folder), "name_resolve": {"nfs_record_root": str(folder / "names")}},
        "rollout": place
        | {
            "backend": "vllm:d1",
            "consumer_batch_size": GROUPS,
            "max_head_offpolicyness": staleness,
            "tokenizer_path": str(model),
        },
        "gconfig": {"n_samples": GROUP, "max_new_tokens": LENGTH, "ignore_eos": True},
        "actor": run
        | {
            "backend": "fsdp:d1",
            "path": str(model),
            "dtype": "float32",
            "attn_impl": "sdpa",
            # Without flash-attn only a micro-batch of one sequence is attended to as one sequence.
            "mb_spec": {"max_tokens_per_mb": 1 + LENGTH},
            "optimizer": {"lr": 3e-3, "warmup_steps_proportion": 0.0},
            "ppo_n_minibatches": 4,
            "kl_ctl": 0.0,
            "use_decoupled_loss": True,
            "reward_norm": {"mean_level": "group", "std_level": "group", "group_size": GROUP},
            "weight_update_mode": "disk",
        },
        "train_dataset": {"batch_size": GROUPS, "shuffle": False, "path": "none", "type": "rl"},
        "saver": place,
        "recover": place | {"mode": "on", "freq_epochs": steps},
        "evaluator": place,
        "stats_logger": place | {"wandb": {"mode": "disabled"}},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings))
    return load_expr_config(["--config", str(file)], GRPOConfig)[0]


def write_tokenizer(folder):
    """Words t0, t1, ... for the ids of the model."""
    from tiny import VOCABULARY
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({f"t{i}": i for i in range(VOCABULARY)}, unk_token="t0")
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), pad_token="t0", eos_token="t1").save_pretrained(folder)


def first_token(data):
    return data["first"]


def as_prompt(token, tokenizer, thinking):
    return [token]


def reward(prompt, completion, prompt_ids, completion_ids, **_):
    return sum(token < GOOD for token in completion_ids) / len(completion_ids)


def watched(trainer):
    """What AReaL's tracker is given in every update, a list for each batch, and what it exports after it."""
    from areal.utils.stats_tracker import DEFAULT_TRACKER

    stock_update, stock_batch, stock_commit = trainer.actor.ppo_update, trainer.actor.train_batch, None
    stock_commit = trainer.stats_logger.commit
    updates, exported = [], []

    def ppo_update(data):
        updates.append([])
        return stock_update(data)

    def train_batch(*arguments, **options):
        before = {name: len(values) for name, values in DEFAULT_TRACKER.stats.items()}
        found = stock_batch(*arguments, **options)
        new = {name: values[before.get(name, 0) :] for name, values in DEFAULT_TRACKER.stats.items()}
        updates[-1].append(numbers(new) | found)
        return found

    def commit(epoch, step, global_step, data):
        exported.append(data)
        return stock_commit(epoch, step, global_step, data)

    trainer.actor.ppo_update, trainer.actor.train_batch = ppo_update, train_batch
    trainer.stats_logger.commit = commit
    return updates, exported


def numbers(stats):
    """Means over the micro-batches of an update, of the scalars that we and of the counts that AReaL gave."""
    means = {name.removeprefix(UPDATE): values for name, values in stats.items() if name.startswith(UPDATE + "band/")}
    means = {name: sum(values) / len(values) for name, values in means.items() if values}
    counts = stats[UPDATE + "n_valid_tokens"]
    for name in ("clip_ratio", "actor_loss"):
        of_tokens = zip(stats[UPDATE + name], counts, strict=True)
        total = sum(float(value[mask].sum()) for value, mask in of_tokens)
        means[name] = total / sum(int(mask.sum()) for mask in counts)
    return means


def train(model, folder, name, steps, options, staleness=0):
    """AReaL's training script, with the lines of our page in it."""
    from areal import PPOTrainer
    from areal_server import Server

    from bandpo.engines import areal

    areal.install(options)
    server = Server(model)
    os.environ["AREAL_LLM_SERVER_ADDRS"] = server.address
    config = configuration(model, folder, name, steps, staleness)
    prompts = [{"first": token} for token in range(2, 2 + GROUPS)]
    workflow = {
        "reward_fn": reward,
        "gconfig": config.gconfig,
        "tokenizer": config.tokenizer_path,
        "get_input_ids_fn": as_prompt,
        "data_extract_prompt_fn": first_token,
    }
    with PPOTrainer(config, train_dataset=prompts) as trainer:
        updates, exported = watched(trainer)
        found = {"engine": of(trainer.actor), "sharded": type(trainer.actor.model).__name__}
        trainer.train(workflow="areal.workflow.rlvr.RLVRWorkflow", workflow_kwargs=workflow)
    server.close()
    saved = [str(path.relative_to(folder)) for path in folder.rglob("*.distcp") if name in path.parts]
    rewards = [data["ppo_actor/task_reward/avg"] for data in exported]
    return found | {
        "rewards": rewards,
        "updates": updates,
        "exported": exported,
        "loads": server.loads,
        "saved": saved,
    }


def of(thing):
    return f"{type(thing).__module__}.{type(thing).__name__}"


def one_rank():
    """The variables by which AReaL's launcher tells a trainer that it is the only rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update(ranks | {"AREAL_SPMD_MODE": "1"})


def main(model, method, steps, out):
    one_rank()
    torch.set_num_threads(1)
    write_tokenizer(model)
    folder = Path(out).parent
    found = {
        method: train(model, folder, method, int(steps), {"method": method, "band_delta": float(os.environ.get("BD","0.0005"))}),
        "sapo": train(model, folder, "sapo", 2, {"method": "sapo"}),
        "dppo-tv": train(model, folder, "dppo-tv", 2, {"method": "dppo-tv"}, staleness=1),
    }
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
