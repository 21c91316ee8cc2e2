"""Trinity-RFT's own trainer on a CPU: experiences in its SQL buffer, a configuration, and the run of its `train` mode.

    python trinity_train.py FOLDER METHOD

Ray is told of a GPU that is not there; verl's platform for CPUs (`verl_cpu` of the folder beside) answers for it.
"""

import asyncio
import json
import sys
from pathlib import Path

import torch
from tiny import VOCABULARY, write_model

GOOD, GROUP, GROUPS, LENGTH, STEPS = 4, 8, 4, 8, 6
CONFIG = """\
mode: train
project: bandpo
name: cpu
checkpoint_root_dir: {folder}
algorithm:
  algorithm_type: grpo
  repeat_times: {group}
  policy_loss_fn: bandpo.engines.trinity_rft.BandPolicyLossFn
  policy_loss_fn_args: {{method: {method}, band_delta: 0.002, loss_agg_mode: token-mean}}
  kl_loss_fn: none
  entropy_loss_fn: none
  optimizer: {{lr: 2.0e-3}}
model:
  model_path: {folder}/model
  max_model_len: 32
  max_prompt_tokens: 8
  max_response_tokens: 8
cluster: {{node_num: 1, gpu_per_node: 1}}
buffer:
  total_steps: {steps}
  batch_size: {groups}
  train_batch_size: {rows}
  trainer_input:
    experience_buffer: {{name: sampled, storage_type: sql, path: "sqlite:///{folder}/sampled.db"}}
synchronizer: {{sync_method: checkpoint, sync_interval: {steps}}}
trainer:
  trainer_strategy: fsdp2
  save_interval: {steps}
  use_dynamic_bsz: false
  use_remove_padding: false
  trainer_config:
    model: {{override_config: {{attn_implementation: eager}}, enable_gradient_checkpointing: false}}
    ref: {{log_prob_micro_batch_size_per_gpu: 8, profiler: {{tool_config: {{}}}}}}
    actor:
      profiler: {{tool_config: {{}}}}
      ppo_micro_batch_size_per_gpu: 8
      use_torch_compile: false
      fsdp_config: {{use_torch_compile: false, model_dtype: fp32, mixed_precision: {{param_dtype: fp32}}}}
monitor: {{monitor_type: tensorboard}}
"""


def write_tokenizer(folder):
    """As many words as the model has, for Trinity-RFT asks for their padding."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1").save_pretrained(folder)


@torch.no_grad()
def experiences(model):
    """What the model samples for prompts of one token, with its log-probs and the advantages of GRPO."""
    from trinity.common.experience import EID, Experience

    found = []
    for task in range(GROUPS * STEPS):
        prompts = torch.full((GROUP, 1), 2 + task % 4)
        ids = model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            do_sample=True,
            top_k=0,
            max_new_tokens=LENGTH,
            min_new_tokens=LENGTH,
            eos_token_id=None,
            pad_token_id=0,
        )
        log_probs = model(ids).logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        reward = (ids[:, 1:] < GOOD).float().mean(1)
        advantages = (reward - reward.mean()) / (reward.std() + 1e-4)
        for run in range(GROUP):
            found.append(
                Experience(
                    eid=EID(task=str(task), run=run),
                    tokens=ids[run],
                    prompt_length=1,
                    logprobs=log_probs[run],
                    reward=reward[run].item(),
                    advantages=advantages[run].expand(LENGTH).clone(),
                    action_mask=torch.ones(LENGTH, dtype=torch.bool),
                )
            )
    return found


def write_inputs(folder, method):
    """Model, experiences and configuration; returns the path of the configuration."""
    from transformers import AutoModelForCausalLM
    from trinity.buffer.writer.sql_writer import SQLWriter
    from trinity.common.config import StorageConfig

    write_model(folder / "model")
    write_tokenizer(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    path = f"sqlite:///{folder}/sampled.db"
    storage = StorageConfig(
        name="sampled", storage_type="sql", path=path, schema_type="experience", wrap_in_ray=False, batch_size=1
    )
    asyncio.run(SQLWriter(storage).write(experiences(model)))
    shape = {"group": GROUP, "groups": GROUPS, "rows": GROUP * GROUPS, "steps": STEPS}
    file = folder / "config.yaml"
    file.write_text(CONFIG.format(folder=folder, method=method, **shape))
    return file


def logged(folder):
    """Metrics of every step, from the files of Trinity-RFT's tensorboard monitor."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for file in folder.rglob("events.out.tfevents*"):
        events = EventAccumulator(str(file)).Reload()
        for name in events.Tags()["scalars"]:
            found.setdefault(name, []).extend(one.value for one in events.Scalars(name))
    return found


def main(folder, method):
    import ray
    from trinity.cli.launcher import run_stage
    from trinity.common.config import load_config

    folder = Path(folder)
    config = load_config(str(write_inputs(folder, method)))
    ray.init(num_cpus=4, num_gpus=1, include_dashboard=False)
    config.check_and_update()
    status = run_stage(config)
    out = {"success": status.success, "error": status.error and status.error.traceback_text, "log": logged(folder)}
    (folder / "out.json").write_text(json.dumps(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
