"""prime-rl's own `train` in one process: a tiny Llama trained with BandPO on what the weights it wrote generate.

    BANDPO_SOURCES=DIR python prime_rl_trainer.py MODEL METHOD STEPS OUT.json

The configuration, from TOML, the model, FSDP2, optimizer, packing, data loader, both filesystem transports, losses and
the files of metrics and tokens are prime-rl's. Ours is the orchestrator, a thread that generates with the weights of
every `AHEAD`th step for the `AHEAD` steps behind it, and attention, in flash-attn's place. Reward: share of a
response's tokens below `GOOD`.
"""

import asyncio
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import cuda_as_cpu
import torch
import unused
from tiny import answers, group_advantages, log_probs

GOOD, GROUP, GROUPS, LENGTH, AHEAD = 4, 8, 4, 8, 4
UNUSED = (
    "dion",
    "fla",
    "flash_attn",
    "grpc",
    "modelexpress",
    "openai",
    "prime_cli",
    "pyarrow",
    "pynvml",
    "renderers",
    "ring_flash_attn",
    "tenacity",
    "torchao",
    "torchtitan.distributed.expert_parallel",
    "torchtitan.experiments",
    "verifiers",
    "vllm",
    "wandb",
    "wandb_gql",
    "wandb_workspaces",
)
CONFIGURATION = """
max_steps = {steps}
output_dir = "{folder}"
enable_token_export = true

[model]
name = "{model}"
seq_len = 72
attn = "flash_attention_2"
compile = "None"
ac_offloading = "None"
optim_cpu_offload = false

[optim]
lr = 5e-3

[rollout_transport]
type = "filesystem"

[loss]
type = "custom"
import_path = "bandpo.engines.prime_rl.loss"

[loss.kwargs]
method = "{method}"
band_delta = 0.002
"""


def attention(q, k, v, starts, *_, causal, **__):
    """flash-attn's `flash_attn_varlen_func` for documents packed one after another, (tokens, heads, dim)."""
    documents = []
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        heads_first = (x[start:end].transpose(0, 1) for x in (q, k, v))
        out = torch.nn.functional.scaled_dot_product_attention(*heads_first, is_causal=causal)
        documents.append(out.transpose(0, 1))
    return torch.cat(documents)


def stand_ins():
    """Put the checkout on the path, and in place what prime-rl asks of a machine with GPUs."""
    # The first has a clip by norm that is used, the second looks for torchao as it is imported.
    import torchtitan.distributed.utils  # noqa: F401
    import transformers.modeling_utils  # noqa: F401

    sources = Path(os.environ["BANDPO_SOURCES"], "prime-rl")
    sys.path[:0] = [str(sources / "src"), str(sources / "packages" / "prime-rl-configs" / "src")]
    unused.stand_in_whole(*UNUSED)
    sys.modules["flash_attn"].flash_attn_varlen_func = attention
    cuda_as_cpu.pretend()
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}


def generated(weights):
    """Samples of the policy that the trainer wrote there, as prime-rl's orchestrator makes them, and their reward."""
    from prime_rl.transports.rollouts import TrainingSample
    from transformers import LlamaForCausalLM

    policy = LlamaForCausalLM.from_pretrained(weights, dtype=torch.bfloat16, attn_implementation="sdpa")
    ids = answers(policy, torch.arange(2, 2 + GROUPS).repeat_interleave(GROUP)[:, None], LENGTH)
    log_p = log_probs(policy, ids)
    reward = (ids[:, 1:] < GOOD).float().mean(1)
    samples = [
        TrainingSample(
            token_ids=tokens,
            mask=[False] + [True] * LENGTH,
            logprobs=[0.0, *logprobs],
            temperatures=[1.0] * (1 + LENGTH),
            env_name="tiny",
            advantages=advantage * (1 + LENGTH),
        )
        for tokens, logprobs, advantage in zip(
            ids.tolist(), log_p.tolist(), group_advantages(reward, GROUPS).tolist(), strict=True
        )
    ]
    return samples, reward.mean().item()


def orchestrate(config, rewards):
    """Pack and send what the newest weights generate, for the `AHEAD` steps behind them, until the last step."""
    from prime_rl.trainer.batch import build_bin_cost, prepare_batch
    from prime_rl.transports.rollouts import setup_micro_batch_sender
    from prime_rl.utils.pathing import get_broadcast_dir, get_step_path, sync_wait_for_path

    sender = setup_micro_batch_sender(config.output_dir, 1, 1, config.rollout_transport)
    for step in range(0, config.max_steps, AHEAD):
        weights = get_step_path(get_broadcast_dir(config.output_dir), step)
        sync_wait_for_path(weights / "STABLE")
        shutil.copy(Path(config.model.name, "config.json"), weights)  # an inference server has its own
        samples, reward = generated(weights)
        rewards.append(reward)
        for _ in range(AHEAD):
            packed = prepare_batch(samples, config.model.seq_len, num_train_workers=1, bin_cost=build_bin_cost(None))
            asyncio.run(sender.send(packed))


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def main(model, method, steps, out):
    stand_ins()
    from prime_rl.configs.trainer import TrainerConfig
    from prime_rl.trainer.perf import PerfCounter
    from prime_rl.trainer.rl.train import train
    from prime_rl.utils.config import cli

    PerfCounter.get_step_mfu = lambda *_: 0.0  # it divides by the peak FLOP/s of the GPU
    file, folder = Path(out).with_suffix(".toml"), Path(out).parent / "run"
    file.write_text(CONFIGURATION.format(steps=steps, folder=folder, model=model, method=method))
    config, rewards = cli(TrainerConfig, args=["@", str(file)]), []
    torch.manual_seed(0)
    threading.Thread(target=orchestrate, args=(config, rewards), daemon=True).start()
    with cuda_as_cpu.Redirected():
        train(config)
    logged = [row for row in lines(folder / "metrics.jsonl") if "loss/mean" in row]
    exports = [lines(next(folder.glob(f"**/step_{step}/rank_0.jsonl"))) for step in range(1, 1 + AHEAD)]
    Path(out).write_text(json.dumps({"rewards": rewards, "logged": logged, "tokens": exports}))


if __name__ == "__main__":
    main(*sys.argv[1:])
