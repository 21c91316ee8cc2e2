"""A dress rehearsal of a mathematics run: data file, training by the paper's recipe, checkpoint, evaluation, table.

    python benchmarks/rehearsal.py                       # a tiny random Qwen2, about a minute on two cores
    python benchmarks/rehearsal.py --size 0.5b --device cuda

Everything is the real thing but the weights, which are random, and the problems, a handful in the format of the real
files: a tokenizer is trained on them, `bandpo data prepare` reads them, `bandpo train` runs the recipe scaled down by
flags, `bandpo eval` scores the model before and after. A random model solves nothing, so a second reward, the share of
digits, gives it something to learn. What each phase of a step takes is written to OUT/rehearsal.json.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportPrivateImportUsage]

from bandpo.cli.options import parse_train
from bandpo.runs.training import Plan, plan
from bandpo.speed.report import machine

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "tests" / "data" / "samples"
RESULTS = ROOT / "benchmarks" / "results"
STOCK = "stock"
PHASES = ("generation", "reward", "log-probs of the old and reference policy", "forward", "loss", "backward", "update")
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
}
# Tokens of the model's head; the tokenizer is the same small one for both.
VOCABULARY = {"tiny": 1024, "0.5b": 151_936}
# Over the recipe, whose batch is 256 prompts of 16 answers with up to 4,096 tokens.
SCALED: dict[str, dict[str, Any]] = {
    "tiny": {"num_generations": 4, "max_completion_length": 24, "max_steps": 24},
    "0.5b": {"num_generations": 8, "max_completion_length": 512, "max_steps": 8},
}
ROLLOUT = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "steps_per_generation": 4}
ON_CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False}
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def digit_share(completions: Sequence[Any], **_: Any) -> list[float]:
    """Share of digits in an answer: what a random model can learn in a few steps."""
    texts = [completion[-1]["content"] for completion in completions]
    return [sum(map(str.isdigit, text)) / max(len(text), 1) for text in texts]


def tokenizer_from(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the texts, with a chat template and Qwen's special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1024, special_tokens=special, initial_alphabet=alphabet)  # pyright: ignore
    made.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
        padding_side="left",
    )


def make_policy(folder: Path, size: str) -> None:
    """A random Qwen2 of that size and its tokenizer, saved as a model from the Hub would be."""
    torch.manual_seed(0)
    pages = [path.read_text(encoding="utf-8") for path in (*SAMPLES.glob("*.jsonl"), *(ROOT / "docs").glob("*.md"))]
    tokenizer = tokenizer_from(pages)
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    config = Qwen2Config(vocab_size=VOCABULARY[size], num_key_value_heads=2, **SIZES[size], **ends)  # pyright: ignore
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Phases:
    """Seconds of each phase; a phase inside another stops the outer one's clock."""

    def __init__(self):
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.running: list[str] = []
        self.since = 0.0

    def _turn(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.running:
            self.seconds[self.running[-1]] += now - self.since
        self.since = now

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._turn()
        self.running.append(name)
        try:
            yield
        finally:
            self._turn()
            self.running.pop()

    def watch(self, owner: Any, method: str, name: str | Callable[[], str]) -> None:
        """Count every call of that method as a phase."""
        original = getattr(owner, method)

        @functools.wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self(name if isinstance(name, str) else name()):
                return original(*args, **kwargs)

        setattr(owner, method, timed)


def timed(trainer: Any) -> Phases:
    """The phases of this trainer's steps; they fill as it trains."""
    phases = Phases()
    phases.watch(trainer, "_generate_and_score_completions", "generation")
    phases.watch(trainer, "_calculate_rewards", "reward")
    phases.watch(
        trainer,
        "_get_per_token_logps_and_entropies",
        lambda: "forward" if torch.is_grad_enabled() else "log-probs of the old and reference policy",
    )
    phases.watch(trainer, "compute_loss", "loss")
    phases.watch(trainer.accelerator, "backward", "backward")
    create = trainer.create_optimizer

    def create_and_watch(*args: Any, **kwargs: Any) -> Any:
        optimizer = create(*args, **kwargs)
        phases.watch(optimizer, "step", "update")
        return optimizer

    trainer.create_optimizer = create_and_watch
    return phases


def bandpo(*arguments: str) -> None:
    """Run a command of the package as a user would, its output shown."""
    print("\n$ bandpo " + " ".join(arguments), flush=True)
    subprocess.run([sys.executable, "-m", "bandpo", *arguments], check=True)


def prepare_data(out: Path) -> None:
    """Make the files of training and of evaluation, as a user would."""
    data = ["--source", str(SAMPLES / "dapo-math-17k.parquet"), "--out", str(out), "--template", "paper"]
    bandpo("data", "prepare", "dapo-math-17k", *data, "--against", f"aime24={SAMPLES / 'aime24.jsonl'}")
    bandpo("data", "prepare", "aime24", "--source", str(SAMPLES / "aime24.jsonl"), "--out", str(out))


def evaluate(out: Path, name: str, model: Path, samples: int = 4) -> Any:
    """Score a model as a user would; what the evaluation says of it."""
    tasks = ["--tasks", str(out / "aime24.trl.parquet"), "--reward", "bandpo.rewards.math_reward"]
    own = ["--n", str(samples), "--max-tokens", "24", "--output-dir", str(out / name)]
    bandpo("eval", "--model", str(model), *tasks, *own)
    return json.loads((out / name / "result.json").read_text(encoding="utf-8"))["scores"]


def stock_of(planned: Plan, model: Path) -> Any:
    """TRL's own trainer with all that a planned run has but the method, in its place: the planned one is let go."""
    ours: Any = planned.trainer
    rows, rewards, tokenizer = ours.train_dataset, ours.reward_funcs, ours.processing_class
    del ours, planned.trainer
    gc.collect()
    given = {field.name: getattr(planned.args, field.name) for field in fields(GRPOConfig) if field.init}
    # Two names of one number.
    config = GRPOConfig(**{**given, "generation_batch_size": None, "save_strategy": "no"})
    trainer: Any = GRPOTrainer(str(model), rewards, config, train_dataset=rows.data, processing_class=tokenizer)
    trainer.train_dataset = rows
    trainer.remove_callback(PrinterCallback)
    return trainer


def train(out: Path, size: str, device: str, method: str, updates: int | None) -> tuple[dict[str, Any], Phases]:
    """Train by the recipe; what the run reports, and its phases. The method "stock" is TRL's own trainer."""
    scaled = {**SCALED[size], **ROLLOUT, **(ON_CPU if device == "cpu" else {})}
    scaled |= {} if updates is None else {"max_steps": updates}
    is_stock = method == STOCK
    own = {"method": "grpo" if is_stock else method, "output_dir": out / (STOCK if is_stock else "run")}
    own |= {"learning_rate": 1e-3, "use_vllm": False, "save_steps": 4}
    arguments = [
        *("--config", "paper", "--model", str(out / "model"), "--dataset", str(out / "dapo-math-17k.trl.parquet")),
        *("--reward", "bandpo.rewards.math_reward", "rehearsal.digit_share", "--disable_tqdm", "True"),
        *(part for name, value in {**own, **scaled}.items() for part in (f"--{name}", str(value))),
    ]
    print("\n$ bandpo train " + " ".join(arguments), flush=True)
    planned = plan(*parse_train(arguments))
    trainer = stock_of(planned, out / "model") if is_stock else planned.trainer
    phases = timed(trainer)
    started = time.perf_counter()
    if is_stock:
        trainer.train()
    result = {"steps": trainer.state.global_step} if is_stock else planned.execute()
    return {**result, "wall seconds": time.perf_counter() - started}, phases


def digits(run: Path) -> tuple[float, float]:
    """What `digit_share` gave in the first and in the last rollout."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    name = "rewards/digit_share/mean"
    shares = [logged[name] for logged in map(json.loads, lines) if name in logged]
    return shares[0], shares[-1]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Rehearse a mathematics run from data file to table.")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--method", default="band-kl")
    parser.add_argument("--updates", type=int, help="optimizer steps")
    parser.add_argument("--out", default="runs/rehearsal", help="new folder, or an earlier rehearsal to replace")
    parser.add_argument("--record", action="store_true", help="keep rehearsal.json in benchmarks/results too")
    options = parser.parse_args(arguments)
    out = Path(options.out)
    if out.exists() and not (out / "model" / "tokenizer.json").is_file():
        parser.error(f"--out {out}: exists and is no earlier rehearsal, expected a new folder")
    shutil.rmtree(out, ignore_errors=True)
    make_policy(out / "model", options.size)
    prepare_data(out)
    result, phases = train(out, options.size, options.device, options.method, options.updates)
    models = {"before": out / "model", "after": out / "run" / "model"}
    scored = {name: evaluate(out, name, model) for name, model in models.items()}
    steps, whole = result["steps"], result["wall seconds"]
    table = {name: phases.seconds[name] for name in PHASES}
    table["everything else"] = whole - sum(table.values())
    report = {
        "command": " ".join(["python benchmarks/rehearsal.py", *(sys.argv[1:] if arguments is None else arguments)]),
        "machine": machine(options.device, torch.get_num_threads()),
        "size": options.size,
        "method": options.method,
        "updates": steps,
        "milliseconds an update": {name: seconds / steps * 1e3 for name, seconds in table.items()},
        "share of the step": {name: seconds / whole for name, seconds in table.items()},
        "digit share of the first and last rollout": digits(out / "run"),
        "evaluations": scored,
    }
    (out / "rehearsal.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.record:
        shutil.copy(out / "rehearsal.json", RESULTS / f"rehearsal_{options.size}_{options.device}.json")
    print(f"\n{'phase':45} ms an update   share")
    for name, seconds in table.items():
        print(f"{name:45} {seconds / steps * 1e3:12.1f} {seconds / whole:7.1%}")
    print("\ndigit share of the first and last rollout: " + ", ".join(f"{share:.3f}" for share in digits(out / "run")))
    print(f"all of it in {out}/")


if __name__ == "__main__":
    main()
