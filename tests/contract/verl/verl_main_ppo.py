"""verl's own `main_ppo` as a process: a model, a tokenizer, data and a reward as files, and what it logged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PAD, END = "<|endoftext|>", "<|im_end|>"
# A byte is one token, as byte-level BPE writes it: transformers takes no other tokenizer for a Qwen, and verl asks it
# for that of a new line, Ċ.
VOCABULARY = [PAD, END, "<|im_start|>", "Ċ", *"0123456789", "+", "="]
LENGTH = 12  # of a response
REWARD = '''"""The share of a response that is even digits."""


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    return sum(letter in "02468" for letter in solution_str) / max(len(solution_str), 1)
'''
ACTOR, ROLLOUT, MODEL = (f"actor_rollout_ref.{part}" for part in ("actor", "rollout", "model"))
POLICY = f"{ACTOR}.policy_loss"


def write_inputs(folder: Path) -> None:
    """Write a random Qwen2 with its tokenizer, 64 sums as prompts of one length, and the reward function."""
    import pandas
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(VOCABULARY),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=VOCABULARY.index(PAD),
        eos_token_id=VOCABULARY.index(END),
        bos_token_id=None,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    prompts = [[{"role": "user", "content": f"{number}+{97 - number}="}] for number in range(16, 80)]
    rows = [
        {"data_source": "sums", "prompt": prompt, "reward_model": {"ground_truth": ""}, "extra_info": {"index": index}}
        for index, prompt in enumerate(prompts)
    ]
    pandas.DataFrame(rows).to_parquet(folder / "prompts.parquet")
    (folder / "reward.py").write_text(REWARD)


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    numbers = {token: number for number, token in enumerate(VOCABULARY)}
    letters = Tokenizer(models.BPE(vocab=numbers, merges=[]))
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=letters, pad_token=PAD, eos_token=END)
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return fast


def overrides(folder: Path, out: Path, workers: int) -> list[str]:
    """Return hydra's overrides of a run of eight steps, four updates each, on a CPU."""
    prompts = folder / "prompts.parquet"
    return [
        f"data.train_files={prompts}",
        f"data.val_files={prompts}",
        "data.train_batch_size=16",
        "data.max_prompt_length=8",
        f"data.max_response_length={LENGTH}",
        "data.dataloader_num_workers=0",
        "algorithm.adv_estimator=grpo",
        f"{MODEL}.path={folder / 'model'}",
        f"{MODEL}.use_remove_padding=False",
        f"+{MODEL}.override_config.attn_implementation=eager",
        f"{MODEL}.enable_gradient_checkpointing=False",
        f"{ACTOR}.strategy=fsdp2",
        f"{ACTOR}.ppo_mini_batch_size=4",
        f"{ACTOR}.ppo_micro_batch_size_per_gpu={32 // workers}",
        f"{ACTOR}.fsdp_config.model_dtype=fp32",
        f"+{ACTOR}.fsdp_config.mixed_precision.param_dtype=fp32",
        f"{ACTOR}.fsdp_config.use_torch_compile=False",
        f"{ACTOR}.use_torch_compile=False",
        f"{ACTOR}.optim.lr=5e-3",
        f"actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu={128 // workers}",
        f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu={128 // workers}",
        f"{ROLLOUT}.name=cpu",
        f"{ROLLOUT}.n=8",
        f"{ROLLOUT}.tensor_model_parallel_size=1",
        f"{ROLLOUT}.calculate_log_probs=True",
        f"{ROLLOUT}.agent.num_workers=1",
        f"reward.custom_reward_function.path={folder / 'reward.py'}",
        "reward.num_workers=1",
        "trainer.logger=[console,file]",
        "trainer.device=cpu",
        "trainer.nnodes=1",
        f"trainer.n_gpus_per_node={workers}",
        "trainer.total_epochs=2",
        "trainer.save_freq=-1",
        "trainer.test_freq=-1",
        "trainer.val_before_train=False",
        f"trainer.default_local_dir={out / 'checkpoints'}",
        # verl counts GPUs, and asks for many CPUs, before it starts anything.
        "ray_kwargs.ray_init.num_cpus=16",
        f"+ray_kwargs.ray_init.num_gpus={workers}",
        "+ray_kwargs.ray_init.include_dashboard=False",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    ]


def bandpo(method: str, **options: float) -> list[str]:
    """Return the overrides that choose our loss."""
    chosen = [f"+{POLICY}.{name}={value}" for name, value in options.items()]
    target = f"{POLICY}._target_=bandpo.engines.verl.BandPolicyLossConfig"
    return [target, f"{POLICY}.loss_mode=bandpo", f"+{POLICY}.method={method}", *chosen]


def run(folder: Path, out: Path, extra: list[str], workers: int = 1, limit: float = 400) -> list[dict[str, float]]:
    """Run `main_ppo` and return its file log, a mapping of metrics for every step.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    out.mkdir(parents=True, exist_ok=True)
    log = out / "metrics.jsonl"
    # The workers import the rollout's module by name.
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Ray would count the devices that CUDA_VISIBLE_DEVICES hides; none of them is used.
    inherited = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment = {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        "VERL_PLATFORM": "cpu",
        "VERL_USE_EXTERNAL_MODULES": "verl_rollout",
        "VERL_FILE_LOGGER_PATH": str(log),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides(folder, out, workers), *extra]
    done = subprocess.run(
        command, cwd=out, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit
    )
    (out / "output.txt").write_text(done.stdout)
    if done.returncode:
        raise RuntimeError(f"main_ppo ended with exit code {done.returncode}:\n{done.stdout[-4000:]}")
    return [json.loads(line)["data"] for line in log.read_text().splitlines()]
