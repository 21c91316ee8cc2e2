"""Peak memory of one loss, forward and backward, with a real vocabulary: the logits cost, the trust region does not.

    python benchmarks/logits_memory.py

TRL's fused head computes log-probs and entropies of the sampled tokens chunk by chunk and never holds (B, T, V)
logits; our trainer keeps it. Every arm runs in a process of its own on a random two-layer Qwen2 with the vocabulary of
Qwen2.5, and its peak is read from the kernel. Writes benchmarks/results/logits_memory.{json,md}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import Dataset
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

import bandpo
from bandpo.engines.trl import BandGRPOConfig, BandGRPOTrainer
from bandpo.speed.report import machine

RESULT = Path(__file__).parent / "results" / "logits_memory.json"
VOCABULARY, PROMPT, ROWS = 151_936, 8, 4
LENGTHS = (64, 256, 1024)
ARMS = ("stock GRPO (TRL)", "band-kl", "maspo", "tre", "band-kl, logits materialised")


def model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return Qwen2ForCausalLM(config)


def inputs(length: int) -> dict[str, Any]:
    """What TRL hands to its loss, for random answers of that length."""
    generator = torch.Generator().manual_seed(0)
    return {
        "prompt_ids": torch.randint(VOCABULARY, (ROWS, PROMPT), generator=generator),
        "prompt_mask": torch.ones(ROWS, PROMPT, dtype=torch.long),
        "completion_ids": torch.randint(VOCABULARY, (ROWS, length), generator=generator),
        "completion_mask": torch.ones(ROWS, length, dtype=torch.long),
        "old_per_token_logps": -11.9 + 0.2 * torch.randn(ROWS, length, generator=generator),
        "advantages": torch.randn(ROWS, generator=generator),
        "num_items_in_batch": torch.tensor(ROWS * length),
    }


def trainer(method: str | None, folder: str, device: str, liger: bool = False) -> Any:
    tokens = Tokenizer(models.WordLevel({"<pad>": 0, "a": 1}, unk_token="<pad>"))
    common: dict[str, Any] = {
        "use_cpu": device == "cpu",
        "use_liger_kernel": liger,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "per_device_train_batch_size": ROWS,
        "num_generations": ROWS,
        "num_iterations": 2,
    }
    config = GRPOConfig(folder, **common) if method is None else BandGRPOConfig(folder, method=method, **common)
    kind = GRPOTrainer if method is None else BandGRPOTrainer
    return kind(
        model(),
        lambda completions, **_: [0.0] * len(completions),
        config,  # pyright: ignore[reportArgumentType]
        train_dataset=Dataset.from_dict({"prompt": ["a"] * ROWS}),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<pad>"),
    )


def materialised(policy: Qwen2ForCausalLM, batch: dict[str, Any]) -> Tensor:
    """The loss in the plain way: logits of all completion tokens, log-softmax, gather."""
    ids, length = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1), batch["completion_ids"].shape[1]
    logits = policy(input_ids=ids, logits_to_keep=length + 1).logits[:, :-1]
    logp = logits.log_softmax(-1).gather(-1, batch["completion_ids"].unsqueeze(-1)).squeeze(-1)
    mask = batch["completion_mask"] != 0
    return bandpo.policy_loss(logp, batch["old_per_token_logps"], batch["advantages"], mask, method="band-kl").loss


def memory(name: str) -> int:
    """A line of /proc/self/status, in bytes: VmRSS is what the process holds, VmHWM the most it has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def peak_bytes(arm: str, length: int, device: str = "cpu") -> int:
    """Bytes that one loss, forward and backward, needs above what this process, or the GPU, held before."""
    torch.set_num_threads(1)
    batch = {name: tensor.to(device) for name, tensor in inputs(length).items()}
    with tempfile.TemporaryDirectory() as folder:
        if arm.endswith("materialised"):
            policy = model()
            policy.to(torch.device(device))  # pyright: ignore[reportArgumentType]
            work = lambda: materialised(policy, batch).backward()  # noqa: E731
        else:
            method = None if arm.startswith("stock") else arm.partition(",")[0]
            made = trainer(method, folder, device, liger=arm.endswith("Liger"))
            made.model.train()
            made.current_gradient_accumulation_steps = 1
            work = lambda: made.compute_loss(made.model, batch).backward()  # noqa: E731
        if device == "cuda":
            return peak_on_gpu(work)
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        work()
        return memory("VmHWM") - before


def peak_on_gpu(work: Callable[[], object]) -> int:
    """Bytes of the GPU that the second of two runs needs above what was held before."""
    work()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def main() -> None:
    if len(sys.argv) == 3:
        print(peak_bytes(sys.argv[1], int(sys.argv[2])))
        return
    found: dict[str, dict[str, int]] = {}
    for arm in ARMS:
        found[arm] = {}
        for length in LENGTHS:
            command = [sys.executable, __file__, arm, str(length)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[arm][str(ROWS * length)] = int(output.split()[-1])
            print(f"{arm}, {ROWS * length} tokens: {found[arm][str(ROWS * length)] / 2**20:.0f} MiB", flush=True)
    result = {
        "command": "python benchmarks/logits_memory.py",
        "machine": machine("cpu", 1),
        "trl": trl.__version__,
        "vocabulary": VOCABULARY,
        "logits MiB": {str(ROWS * n): ROWS * n * VOCABULARY * 4 / 2**20 for n in LENGTHS},
        "peak bytes by tokens": found,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    RESULT.with_suffix(".md").write_text(markdown(result), encoding="utf-8")


def markdown(result: dict[str, Any]) -> str:
    sizes = list(result["logits MiB"])
    lines = [
        "# Peak memory of one loss, forward and backward",
        "",
        f"MiB above what the process held before, TRL {result['trl']}, a vocabulary of {result['vocabulary']:,}, fp32, "
        f"a random two-layer Qwen2 on the CPU; generated by `{result['command']}`.",
        "",
        "| method | " + " | ".join(f"{size} tokens" for size in sizes) + " |",
        "|---" * (len(sizes) + 1) + "|",
        "| *the logits alone* | " + " | ".join(f"*{result['logits MiB'][size]:.0f}*" for size in sizes) + " |",
    ]
    for arm, peaks in result["peak bytes by tokens"].items():
        lines.append(f"| {arm} | " + " | ".join(f"{peaks[size] / 2**20:.0f}" for size in sizes) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
