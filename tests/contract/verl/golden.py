"""Golden values from verl's own policy losses: reads tests/core/golden/batch.json, writes verl.json next to it.

    python tests/contract/verl/golden.py

Run by build/engines/verl/bin/python, which `make test-engines ENGINES=verl` builds. The numbers are committed and
tests/core compares this library with them, so verl is not needed to run those tests.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

GOLDEN = Path(__file__).resolve().parents[2] / "core" / "golden"
TOKEN_MEAN, SEQUENCE_MEAN = "token-mean", "seq-mean-token-mean"
NO_DUAL_CLIP = 1e9  # as infinity would be: verl multiplies it by advantages, and 0 times infinity is not a number
NOTE = (
    "verl's registered functions, called with a bool mask and fp64 tensors; fp64 throughout. Aggregated by verl's own "
    "agg_loss, with token-mean whatever the function asks for (sapo always asks for seq-mean-token-mean); where extra "
    "has seq-mean-token-mean, that is the loss and gradient with the other mode. Clip-Cov has no dual clip. "
    "extra.dropped: valid tokens whose loss Clip-Cov set to 0, chosen by torch.randperm after "
    "torch.manual_seed(extra.seed) on the CPU; extra.penalised: tokens that KL-Cov chose."
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of a loss function: `ours` names the hyperparameters as this library does, the rest as verl does."""

    method: str
    function: str
    ours: dict[str, float]
    actor: dict[str, float]
    policy_loss: dict[str, float] = dataclasses.field(default_factory=dict)
    anchor: str = "old"
    seed: int | None = None


def cases() -> Iterator[Case]:
    def clip(low: float, high: float, c: float | None = None) -> dict[str, float]:
        return {"clip_ratio_low": low, "clip_ratio_high": high} | ({} if c is None else {"clip_ratio_c": c})

    for method, low, high, c in (
        ("grpo", 0.2, 0.2, NO_DUAL_CLIP),
        ("grpo", 0.05, 0.05, NO_DUAL_CLIP),
        ("clip-higher", 0.2, 0.28, NO_DUAL_CLIP),
        ("dual-clip", 0.2, 0.2, 3.0),
        ("dual-clip", 0.2, 0.28, 3.0),
        ("dual-clip", 0.2, 0.28, 1.5),
    ):
        ours = {"eps_low": low, "eps_high": high, "dual_clip": math.inf if c == NO_DUAL_CLIP else c}
        yield Case(method, "vanilla", ours, clip(low, high, c))
    for method, delta, tight in (("dppo-tv", 0.15, 0.02), ("dppo-kl", 0.05, 0.01)):
        for low, high, c in ((delta, delta, 20.0), (tight, tight, 20.0), (tight, delta, 20.0), (delta, tight, 2.0)):
            ours = {"delta_low": low, "delta_high": high, "max_ratio": c}
            yield Case(method, method.replace("-", "_"), ours, clip(low, high, c), anchor="rollout")
    for low, high in ((3e-4, 4e-4), (0.2, 0.28)):
        yield Case("gspo", "gspo", {"eps_low": low, "eps_high": high}, clip(low, high))
    for positive, negative in ((1.0, 1.05), (0.5, 4.0)):
        taus = {"tau_pos": positive, "tau_neg": negative}
        yield Case("sapo", "sapo", taus, taus)
    for low, high in ((math.inf, 4.0), (math.inf, 1.0), (0.2, 0.28)):
        yield Case("cispo", "cispo", {"eps_low": low, "max_ratio": 1.0 + high}, clip(low, high))
    for seed, (fraction, low, high) in enumerate(((2e-4, 1.0, 1.0), (0.1, 1.0, 1.0), (0.1, 0.2, 0.2), (1.0, 1.0, 1.0))):
        ours = {"fraction": fraction, "cov_low": 1.0, "cov_high": 5.0}
        ours |= {"eps_low": low, "eps_high": high, "dual_clip": math.inf}
        theirs = {"clip_cov_ratio": fraction, "clip_cov_lb": 1.0, "clip_cov_ub": 5.0}
        yield Case("clip-cov", "clip_cov", ours, clip(low, high), theirs, seed=seed)
    for fraction, coef in ((2e-3, 1.0), (0.2, 1.0), (0.3, 0.1)):
        theirs = {"kl_cov_ratio": fraction, "ppo_kl_coef": coef}
        yield Case("kl-cov", "kl_cov", {"fraction": fraction, "coef": coef}, {}, theirs)


def read_batch() -> dict[str, Tensor]:
    """Log-probs and advantages in fp64, and the mask as verl's workers pass it."""
    batch = json.loads((GOLDEN / "batch.json").read_text())
    names = ("logp", "logp_old", "logp_rollout", "advantages")
    return {name: torch.tensor(batch[name], dtype=torch.float64) for name in names} | {
        "mask": torch.tensor(batch["mask"], dtype=torch.bool)
    }


def evaluate(case: Case, batch: dict[str, Tensor], mode: str) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, its gradient, and the losses per token before their aggregation."""
    from verl.trainer.ppo import core_algos
    from verl.workers.config import ActorConfig, PolicyLossConfig

    per_token = torch.empty(0)

    def aggregate(agg_loss: Callable[..., Tensor], loss_mat: Tensor, loss_mask: Tensor, **keywords: Any) -> Tensor:
        nonlocal per_token
        per_token = torch.where(loss_mask, loss_mat.detach(), 0.0)
        return agg_loss(loss_mat, loss_mask, **keywords | {"loss_agg_mode": mode})

    config = ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        policy_loss=PolicyLossConfig(loss_mode=case.function, **case.policy_loss),
        **case.actor,
    )
    logp = batch["logp"].clone().requires_grad_()
    if case.seed is not None:
        torch.manual_seed(case.seed)
    with mock.patch.object(core_algos, "agg_loss", functools.partial(aggregate, core_algos.agg_loss)):
        loss, _ = core_algos.get_policy_loss_fn(case.function)(
            old_log_prob=batch[f"logp_{case.anchor}"],
            log_prob=logp,
            advantages=batch["advantages"],
            response_mask=batch["mask"],
            loss_agg_mode=mode,
            config=config,
        )
    (gradient,) = torch.autograd.grad(loss, logp)
    return loss.detach(), gradient, per_token


def record(case: Case, batch: dict[str, Tensor]) -> dict[str, Any]:
    """One entry of verl.json."""
    loss, gradient, per_token = evaluate(case, batch, TOKEN_MEAN)
    extra: dict[str, Any] = {}
    if case.method in ("gspo", "sapo"):
        other_loss, other_gradient, _ = evaluate(case, batch, SEQUENCE_MEAN)
        extra[SEQUENCE_MEAN] = {"loss": other_loss, "gradient": other_gradient}
    elif case.method == "clip-cov":
        dropped = (per_token == 0) & (batch["advantages"] != 0) & batch["mask"]
        extra |= {"dropped": dropped, "seed": case.seed}
    elif case.method == "kl-cov":
        unpenalised = -batch["advantages"] * torch.exp(batch["logp"] - batch["logp_old"])
        extra["penalised"] = (per_token != unpenalised) & batch["mask"]
    return {
        "method": case.method,
        "function": case.function,
        "hyperparameters": case.ours,
        "theirs": case.actor | case.policy_loss,
        "anchor": case.anchor,
        "loss": loss,
        "gradient": gradient,
        "per_token": per_token,
        "extra": extra,
    }


def plain(value: Any) -> Any:
    """What JSON can hold: tensors as lists, infinity as "inf", and no negative zeros."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("not a number")
        return str(value) if math.isinf(value) else value + 0.0
    return value


def main() -> None:
    batch = read_batch()
    package = importlib.metadata.metadata("verl")
    head = {
        "source": {
            "package": "verl",
            "version": package["Version"],
            "file": "verl/trainer/ppo/core_algos.py",
            "license": package["License"],
        },
        "torch": torch.__version__,
        "note": NOTE,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    # One case a line: a change of verl shows as the cases that it moved.
    entries = ",\n".join(f"  {json.dumps(plain(record(case, batch)))}" for case in cases())
    lines.append(f' "cases": [\n{entries}\n ]')
    (GOLDEN / "verl.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
