"""What our loss costs in verl against verl's own: forward and backward of the registered functions, taking turns.

    build/engines/verl/bin/python benchmarks/engine_overhead.py [--out FILE]

Needs the environment that `make test-engines ENGINES=verl` builds. Writes benchmarks/results/engine_overhead.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

OUT = Path(__file__).parent / "results" / "engine_overhead.json"
# (responses, tokens of each) of a micro-batch: a usual one, and a long-context one.
SHAPES = ((8, 1024), (4, 8192))
ROUNDS = 30


def losses() -> dict[str, Callable[..., torch.Tensor]]:
    """verl's vanilla loss and ours, each as a function of (old, new, advantages, mask), called as a worker calls it."""
    from verl.trainer.ppo import core_algos  # pyright: ignore[reportMissingImports]
    from verl.workers.config import ActorConfig, PolicyLossConfig  # pyright: ignore[reportMissingImports]

    from bandpo.engines.verl import BandPolicyLossConfig

    off = {"dual_clip": None}
    policies = {
        "verl vanilla": PolicyLossConfig(),
        "bandpo grpo": BandPolicyLossConfig(method="grpo"),
        "bandpo band-kl": BandPolicyLossConfig(method="band-kl", method_kwargs=off),
        "bandpo band-js": BandPolicyLossConfig(method="band-js", method_kwargs=off),
    }

    def call(policy) -> Callable[..., torch.Tensor]:
        config = ActorConfig(strategy="fsdp", rollout_n=1, ppo_micro_batch_size_per_gpu=1, policy_loss=policy)
        function = core_algos.get_policy_loss_fn(policy.loss_mode)

        def loss(old, new, advantages, mask):
            return function(
                old_log_prob=old,
                log_prob=new,
                advantages=advantages,
                response_mask=mask,
                loss_agg_mode="token-mean",
                config=config,
                rollout_is_weights=None,
            )[0]

        return loss

    return {name: call(policy) for name, policy in policies.items()}


def batch(responses: int, tokens: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    old = torch.log(torch.rand(responses, tokens, generator=generator).pow(0.3) * 0.99 + 1e-4)
    new = (old + 0.1 * torch.randn(old.shape, generator=generator)).clamp_max(-1e-4)
    advantages = torch.randn(responses, 1, generator=generator).expand(old.shape).contiguous()
    return old, new, advantages, torch.rand(old.shape, generator=generator) < 0.8


def measure(responses: int, tokens: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Median milliseconds of each loss, and its ratio to verl's vanilla in the same round."""
    old, new, advantages, mask = batch(responses, tokens)
    functions = losses()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 3):
        for name, function in functions.items():
            leaf = new.clone().requires_grad_()
            start = time.perf_counter()
            function(old, leaf, advantages, mask).backward()
            if number >= 3:
                times[name].append((time.perf_counter() - start) * 1e3)
    stock = times["verl vanilla"]
    return {
        "responses": responses,
        "tokens": tokens,
        "milliseconds": {name: round(statistics.median(took), 3) for name, took in times.items()},
        "ratio": {
            name: round(statistics.median(a / b for a, b in zip(took, stock, strict=True)), 2)
            for name, took in times.items()
        },
    }


def plugin_milliseconds() -> float:
    """What our entry point adds to an `import verl`, in this process, where torch is imported already."""
    import subprocess
    import sys

    code = (
        "import os; os.environ['VERL_USE_EXTERNAL_PLUGINS'] = 'none'; import verl, time; t = time.perf_counter(); "
        "import bandpo.engines.verl; print((time.perf_counter() - t) * 1e3)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(5)]
    return round(statistics.median(float(run.stdout) for run in runs), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="result file")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="timed rounds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    result = {
        "command": "build/engines/verl/bin/python benchmarks/engine_overhead.py",
        "what": "forward and backward of the policy loss of a micro-batch with its metrics, fp32, one core, in ms",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "verl": importlib.metadata.version("verl"),
        "import_verl_plugin_ms": plugin_milliseconds(),
        "shapes": [measure(*shape, rounds=options.rounds) for shape in SHAPES],
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
