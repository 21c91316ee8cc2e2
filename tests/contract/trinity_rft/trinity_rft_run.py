"""Trinity-RFT's own `trinity run` in its mode `train` on a CPU: a tiny model trained with BandPO.

    python trinity_rft_run.py MODEL METHOD STEPS OUT.json

Configuration, buffer, trainer, Ray actors, verl's FSDP2 worker, loss, a checkpoint after each step and log are
Trinity-RFT's. Ours is the explorer: it fills the buffer with what the weights of every `AHEAD`th step generate, for
the `AHEAD` steps behind them. Reward: share of a response's tokens below `GOOD`.
"""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

import tiny
import torch
import yaml

GOOD, GROUP, GROUPS, LENGTH, AHEAD = 4, 8, 4, 8, 4
PROMPTS = torch.arange(2, 2 + GROUPS).repeat_interleave(GROUP)[:, None]


def configuration(model, method, steps, folder):
    """What a user's YAML would say."""
    options = {"band_delta": 0.002} if method.startswith("band") else {}
    return {
        "mode": "train",
        "project": "bandpo",
        "name": "tiny",
        "checkpoint_root_dir": str(folder / "checkpoints"),
        "algorithm": {
            "algorithm_type": "grpo",
            "repeat_times": GROUP,
            "policy_loss_fn": "bandpo.engines.trinity_rft.BandPolicyLossFn",
            "policy_loss_fn_args": {"method": method, "loss_agg_mode": "token-mean", **options},
            "kl_loss_fn": "none",
            "entropy_loss_fn": "none",
            "optimizer": {"lr": 5e-3, "lr_warmup_steps": 0},
        },
        "model": {"model_path": model, "max_prompt_tokens": 2, "max_response_tokens": LENGTH, "max_model_len": 16},
        "cluster": {"node_num": 1, "gpu_per_node": 1},
        "buffer": {
            "batch_size": GROUPS,
            "train_batch_size": GROUPS * GROUP,
            "trainer_input": {
                "experience_buffer": {
                    "name": "experiences",
                    "storage_type": "sql",
                    "path": f"sqlite:///{folder / 'experiences.db'}",
                    "max_read_timeout": 300,
                }
            },
        },
        "synchronizer": {"sync_method": "checkpoint", "sync_interval": 1},
        "trainer": {
            "trainer_type": "verl",
            "total_steps": steps,
            "save_interval": 1,
            "save_hf_checkpoint": "always",
            "use_remove_padding": False,
            "max_token_len_per_gpu": 1024,
            "trainer_config": {
                "model": {
                    "enable_gradient_checkpointing": False,
                    "override_config": {"attn_implementation": "eager"},
                },
                "actor": {
                    "use_torch_compile": False,
                    "fsdp_config": {
                        "dtype": "float32",
                        "mixed_precision": {"param_dtype": "fp32", "reduce_dtype": "fp32"},
                        "use_torch_compile": False,
                    },
                },
            },
        },
        "monitor": {"monitor_type": "tensorboard"},
    }


def weights(model, folder, step):
    """The policy after that step, once the trainer's checkpoint is whole."""
    from transformers import AutoModelForCausalLM

    checkpoints = folder / "checkpoints" / "bandpo" / "tiny"
    latest = checkpoints / "latest_checkpointed_iteration.txt"
    while step and (not latest.exists() or int(latest.read_text() or 0) < step):
        time.sleep(0.1)
    saved = checkpoints / f"global_step_{step}" / "actor" / "huggingface" if step else model
    # Its config.json says bf16, its tensors are fp32.
    return AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32).eval()


def generated(policy):
    """Responses, their log-probs, advantages and mean reward."""
    ids = tiny.answers(policy, PROMPTS, LENGTH)
    reward = (ids[:, 1:] < GOOD).float().mean(1)
    advantages = tiny.group_advantages(reward, GROUPS).expand(-1, LENGTH)
    return {"ids": ids, "old": tiny.log_probs(policy, ids), "advantages": advantages, "reward": reward}


def experiences(batch, step):
    """The same as Trinity-RFT's explorer leaves them in the buffer."""
    from trinity.common.experience import EID, Experience

    rows = zip(*batch.values(), strict=True)
    return [
        Experience(
            eid=EID(batch=step, task=row // GROUP, run=row % GROUP),
            tokens=tokens,
            prompt_length=1,
            logprobs=old,
            reward=reward.item(),
            advantages=advantages.clone(),
            returns=advantages.clone(),
            info={"model_version": step},
        )
        for row, (tokens, old, advantages, reward) in enumerate(rows)
    ]


def explore(model, steps, folder, batches):
    """Fill the buffer until the last step; `batches` grows by what it was filled with."""
    from trinity.buffer import get_buffer_writer
    from trinity.common.config import ExperienceBufferConfig

    buffer = configuration(model, "", steps, folder)["buffer"]["trainer_input"]["experience_buffer"]
    storage = ExperienceBufferConfig(**buffer, schema_type="experience").to_storage_config()
    storage.wrap_in_ray = False
    writer = get_buffer_writer(storage)
    for step in range(0, steps, AHEAD):
        batch = generated(weights(model, folder, step))
        batches.append(batch)
        for _ in range(AHEAD):
            asyncio.run(writer.write(experiences(batch, step)))


def logged(folder):
    """Scalars of Trinity-RFT's own TensorBoard log, by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(next(folder.glob("checkpoints/bandpo/tiny/monitor/tensorboard/*"))))
    log.Reload()
    return {name: [event.value for event in log.Scalars(name)] for name in log.Tags()["scalars"]}


def seen(model, steps, folder, batches):
    """What the loss must have been handed at each step, from the weights before it."""
    for step in range(steps):
        batch = batches[step // AHEAD]
        new = tiny.log_probs(weights(model, folder, step), batch["ids"])
        yield {"new": new.tolist(), "old": batch["old"].tolist(), "advantages": batch["advantages"].tolist()}


def main(model, method, steps, out):
    folder, steps, batches = Path(out).parent, int(steps), []
    # Every process that imports verl imports our module, by name.
    paths = [str(Path(__file__).parent), os.environ["PYTHONPATH"]]
    os.environ |= {"VERL_USE_EXTERNAL_MODULES": "trinity_rft_cpu", "PYTHONPATH": os.pathsep.join(paths)}
    # Ray would count the devices that it hides; none of them is used.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    import ray
    from trinity.cli.launcher import app

    tiny.write_tokenizer(model)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(model, method, steps, folder)))
    ray.init(address="local", num_cpus=6, num_gpus=1, include_dashboard=False, namespace="bandpo/tiny")
    # Trinity-RFT connects to a Ray that runs, this one where there are others.
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    torch.manual_seed(0)
    threading.Thread(target=explore, args=(model, steps, folder, batches), daemon=True).start()
    app(["run", "--config", str(folder / "config.yaml")], standalone_mode=False)
    found = {
        "rewards": [batch["reward"].mean().item() for batch in batches],
        "logged": logged(folder),
        "seen": list(seen(model, steps, folder, batches)),
    }
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
