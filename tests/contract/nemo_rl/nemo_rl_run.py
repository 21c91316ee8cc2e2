"""NeMo-RL's own `examples/run_grpo.py` on a CPU, started by our launcher: a tiny model trained with BandPO.

    BANDPO_SOURCES=DIR python nemo_rl_run.py MODEL METHOD STEPS OUT.json

The script, its configuration, data, `setup`, Ray cluster and worker group, rollouts, advantages, old log-probs, FSDP2
worker, loss and log are NeMo-RL's. Ours are the generator, in vLLM's place, which is handed the worker's weights, and
the environment. Reward: share of good words in a response.
"""

import functools
import json
import os
import sys
from pathlib import Path

import nemo_rl_stand_ins
import tiny
import torch
import yaml

GROUP, GROUPS, LENGTH, UPDATES = 8, 4, 8, 4


def configuration(model, steps, folder):
    """What a user's YAML would say, on top of NeMo-RL's own for GRPO."""
    data = {"dataset_name": "ResponseDataset", "data_path": str(folder / "prompts.jsonl"), "split_validation_size": 0}
    constant = {"name": "torch.optim.lr_scheduler.ConstantLR", "kwargs": {"factor": 1.0, "total_iters": 1}}
    return {
        "defaults": str(Path(os.environ["BANDPO_SOURCES"], "nemo-rl/examples/configs/grpo_math_1B.yaml").resolve()),
        "grpo": {"max_num_steps": steps, "max_num_epochs": steps, "val_period": 0},
        "loss_fn": {"reference_policy_kl_penalty": 0.0},
        "checkpointing": {
            "checkpoint_dir": str(folder / "checkpoints"),
            "metric_name": None,
            "model_save_format": None,
            "save_period": steps,
        },
        "policy": {
            "model_name": model,
            "max_total_sequence_length": 32,
            "precision": "float32",
            "train_micro_batch_size": 4,
            "dtensor_cfg": {"_v2": False},
            "sequence_packing": {"enabled": False},
            "optimizer": {"kwargs": {"lr": 5e-3, "weight_decay": 0.0}},
            "scheduler": [constant, {"milestones": []}],
            "generation": {"max_new_tokens": LENGTH, "vllm_cfg": {"enable_vllm_metrics_logger": False}},
        },
        "data": {
            "num_workers": 0,
            "train": data,
            "default": {"prompt_file": None, "env_name": "words"},
        },
        "env": {"words": {"length": LENGTH}},
        "logger": {"log_dir": str(folder / "logs"), "tensorboard_enabled": True, "monitor_gpus": False},
    }


def write_inputs(model, steps, folder):
    tiny.write_tokenizer(model, template="{% for message in messages %}{{ message['content'] }}{% endfor %}")
    rows = [{"input": f"w{2 + i}", "output": ""} for i in range(GROUPS)]
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(model, int(steps), folder)))


def in_place_of_gpus(folder):
    """Start Ray with a GPU to hand out; put our generator, environment and worker where NeMo-RL looks for its own."""
    import ray
    from nemo_rl.algorithms import grpo
    from nemo_rl.distributed import ray_actor_environment_registry as registry
    from nemo_rl.distributed import virtual_cluster
    from nemo_rl.environments.utils import register_env

    # Ray would count the devices that it hides; none of them is used.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    ray.init(
        address="local",
        num_cpus=3,
        num_gpus=1,
        include_dashboard=False,
        runtime_env={"worker_process_setup_hook": "nemo_rl_stand_ins.stand_in"},
    )
    # NeMo-RL asks for Ray's state by it where other clusters run, too.
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    virtual_cluster.init_ray = lambda *_: None
    for name in ("Worker", "Environment"):
        registry.ACTOR_ENVIRONMENT_REGISTRY[f"nemo_rl_actors.{name}"] = sys.executable
    register_env("words", "nemo_rl_actors.Environment")
    generation = Generation()
    grpo.VllmGeneration = lambda cluster, config: generation.configured(config)
    grpo.Policy = functools.partial(policy, grpo.Policy, generation)


def policy(build, generation, **options):
    """NeMo-RL's policy of our worker, whose weights the generator is to ask for."""
    made = build(**options, worker_extension_cls_fqn="nemo_rl_actors.Worker")
    generation.weight_synchronizer = Synchronizer(made, generation)
    return made


class Synchronizer:
    """Weights of the worker for the generator, through Ray."""

    is_stale = True

    def __init__(self, policy, generation):
        self.policy, self.generation = policy, generation

    def sync_weights(self, **_):
        [weights] = self.policy.run_all_workers_single_data("weights")
        self.generation.model.load_state_dict(weights)


class Generation:
    """NeMo-RL's interface of a generator, by transformers' `generate` in the driver's process."""

    requires_kv_scale_sync = False

    def configured(self, config):
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(config["model_name"]).eval()
        return self

    def generate(self, data, greedy):
        from nemo_rl.distributed.batched_data_dict import BatchedDataDict

        prompts = data["input_ids"]
        ids = tiny.answers(self.model, prompts, LENGTH)
        log_p = torch.cat([torch.zeros(len(ids), 1), tiny.log_probs(self.model, ids)], 1)
        log_p[:, : prompts.shape[1]] = 0
        lengths = torch.full((len(ids),), LENGTH)
        return BatchedDataDict(
            output_ids=ids,
            generation_lengths=lengths,
            unpadded_sequence_lengths=lengths + prompts.shape[1],
            logprobs=log_p,
        )

    def nothing(self, *_, **__):
        return True

    prepare_for_generation = finish_generation = shutdown = nothing
    snapshot_step_metrics = clear_logger_metrics = nothing

    def get_logger_metrics(self):
        return {}

    get_step_metrics = get_logger_metrics


def logged(folder):
    """Scalars of NeMo-RL's own TensorBoard log, by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(next(folder.glob("logs/*/tensorboard"))))
    log.Reload()
    return {name: [event.value for event in log.Scalars(name)] for name in log.Tags()["scalars"]}


def main(model, method, steps, out):
    folder, seen = Path(out).parent, Path(out).with_name("seen.jsonl")
    checkout = Path(os.environ["BANDPO_SOURCES"], "nemo-rl").resolve()
    # Ray's workers import our actors and NeMo-RL by name.
    paths = [str(Path(__file__).parent), os.environ["PYTHONPATH"], str(checkout)]
    os.environ |= {"BANDPO_SEEN": str(seen), "PYTHONPATH": os.pathsep.join(paths)}
    nemo_rl_stand_ins.stand_in()
    write_inputs(model, steps, folder)
    in_place_of_gpus(folder)
    from bandpo.engines.nemo_rl.adapter import main as launch

    torch.manual_seed(0)
    sys.argv = [
        "bandpo.engines.nemo_rl",
        str(checkout / "examples" / "run_grpo.py"),
        f"--config={folder / 'config.yaml'}",
        f"+loss_fn.bandpo.method={method}",
        *(["+loss_fn.bandpo.band_delta=0.002"] if method.startswith("band") else []),
        f"grpo.num_prompts_per_step={GROUPS}",
        f"grpo.num_generations_per_prompt={GROUP}",
        f"policy.train_global_batch_size={GROUPS * GROUP // UPDATES}",
    ]
    launch()
    found = {
        "logged": logged(folder),
        "seen": [json.loads(line) for line in seen.read_text().splitlines()],
        "checkpoints": [path.name for path in (folder / "checkpoints").glob("step_*")],
    }
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
