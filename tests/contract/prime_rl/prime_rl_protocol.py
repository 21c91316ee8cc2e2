"""How prime-rl 0.8.0 calls a custom loss, written from its src/prime_rl/trainer/rl/loss.py: `LossInputs` and
`LossOutputs` (lines 14 to 34), `setup_rl_loss_fn` (262) and `compute_loss` (285)."""

import importlib
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class LossInputs:
    trainer_logprobs: torch.Tensor
    inference_logprobs: torch.Tensor
    ref_logprobs: torch.Tensor | None
    advantages: torch.Tensor
    loss_mask: torch.Tensor
    loss_weights: torch.Tensor | None = None

    def __post_init__(self):
        assert all(value is None or value.dim() == 1 for value in vars(self).values())
        assert self.loss_mask.dtype == torch.bool


@dataclass
class LossOutputs:
    loss: torch.Tensor
    metrics: dict[str, torch.Tensor]


@dataclass
class CustomLossConfig:
    import_path: str
    kwargs: dict[str, Any]
    type: str = "custom"


def setup_rl_loss_fn(config):
    module, _, name = config.import_path.rpartition(".")
    function = getattr(importlib.import_module(module), name)
    return lambda inputs: function(inputs, **config.kwargs)


def compute_loss(**given):
    """Sum over sequences divided by the number of tokens, and every metric's values over the sequences."""
    total, metrics = 0.0, {}
    names = ("trainer_logprobs", "inference_logprobs", "advantages", "loss_mask")
    weights = given["rl_weights"] or [None] * len(given["loss_mask"])
    for *row, weight in zip(*(given[name] for name in names), weights, strict=True):
        fields = dict(zip(names, row, strict=True))
        if weight is not None:
            fields["loss_mask"] = fields["loss_mask"] & (weight != 0)
        out = given["rl_loss_fn"](LossInputs(**fields, ref_logprobs=None, loss_weights=weight))
        assert out.loss.dim() == 0
        total = total + out.loss
        for name, value in out.metrics.items():
            metrics.setdefault(name, []).append(value)
    return total / given["rl_scale"], {name: torch.stack(values) for name, values in metrics.items()}
