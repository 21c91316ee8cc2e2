"""Small GPT-2s, one a run, as one model: every parameter has a leading axis of runs.

A layer norm's gain and shift go into the product behind it, so that parameters enter through `linear` and embeddings
alone. Rows of all runs stand one after another, the first run's first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from benchmarks.science.products import linear

Affine = tuple[Tensor, Tensor]


class Layer(NamedTuple):
    """Weight and bias of a block's four products, stacked over runs."""

    attention: Affine
    output: Affine
    up: Affine
    down: Affine


class Network(NamedTuple):
    """What `Policies` computes with: embeddings, blocks and head, norms put into the products behind them."""

    tokens: Tensor
    positions: Tensor
    layers: list[Layer]
    head: Affine


def load_policy(folder: Path) -> tuple[dict[str, Tensor], int]:
    """Return the parameters of a GPT-2 that was saved in a folder, in fp32, and its number of heads."""
    heads = json.loads((folder / "config.json").read_text(encoding="utf-8"))["n_head"]
    return {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}, heads


class Policies:
    """The policies of all runs.

    Args:
        states: parameters of each run's GPT-2 by name; all of one shape.
        heads: attention heads.
        device: where they live.

    Attributes:
        flat: (runs, parameters of one), all parameters; `parameters` are views of it.
    """

    def __init__(self, states: Sequence[Mapping[str, Tensor]], heads: int, device: str = "cpu"):
        names = sorted(states[0])
        self.heads, self.runs = heads, len(states)
        self.flat = torch.stack([torch.cat([state[name].flatten() for name in names]) for state in states]).to(device)
        sizes = [states[0][name].numel() for name in names]
        self.parameters = {
            name: part.view(self.runs, *states[0][name].shape).detach().requires_grad_()
            for name, part in zip(names, self.flat.split(sizes, dim=1), strict=True)
        }
        self.layers = 1 + max(int(name.split(".")[2]) for name in names if ".h." in name)

    def network(self) -> Network:
        """Return the parameters as products; gradients flow back to `parameters`."""
        p = self.parameters
        layers = []
        for number in range(self.layers):
            name = f"transformer.h.{number}."
            inner = {part: (p[f"{name}{part}.weight"], p[f"{name}{part}.bias"]) for part in _PARTS}
            layers.append(
                Layer(
                    _behind(inner["ln_1"], inner["attn.c_attn"]),
                    inner["attn.c_proj"],
                    _behind(inner["ln_2"], inner["mlp.c_fc"]),
                    inner["mlp.c_proj"],
                )
            )
        head = p["lm_head.weight"].transpose(1, 2)
        last = (p["transformer.ln_f.weight"], p["transformer.ln_f.bias"])
        bias = head.new_zeros(self.runs, head.shape[-1])
        return Network(p["transformer.wte.weight"], p["transformer.wpe.weight"], layers, _behind(last, (head, bias)))

    def logits(self, ids: Tensor, runs: Tensor, counts: Sequence[int], first: int) -> Tensor:
        """Return the logits behind the tokens from position `first` on, (rows, length - first, vocabulary).

        Args:
            ids: (rows, length) tokens.
            runs: (rows,) run of every row, ascending.
            counts: rows of every run.
            first: position.
        """
        network = self.network()
        length = ids.shape[1]
        places = functional.embedding(runs, network.positions[:, :length].flatten(1))
        x = embed(network.tokens, ids, runs.unsqueeze(1)) + places.view(len(ids), length, -1)
        for number, layer in enumerate(network.layers):
            start = first if number == len(network.layers) - 1 else 0  # what no answer token reads is not worked out
            q, k, v = self.project(x, layer, counts)
            attended = attend(q[:, :, start:], k, v)
            x = finish(x[:, start:], merge(attended), layer, counts)
        return apply(normed(x), network.head, counts)

    def project(self, x: Tensor, layer: Layer, counts: Sequence[int]) -> list[Tensor]:
        """Return queries, keys and values of a layer, (rows, heads, length, width of a head)."""
        projected = apply(normed(x), layer.attention, counts)
        parts = projected.view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return list(parts.unbind())


_PARTS = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")


def _behind(norm: Affine, product: Affine) -> Affine:
    """Return the product that takes a normed input without gain and shift."""
    (gain, shift), (weight, bias) = norm, product
    return gain.unsqueeze(-1) * weight, bias + (shift.unsqueeze(-1) * weight).sum(1)


def normed(x: Tensor) -> Tensor:
    """Return x with mean 0 and variance 1 along its last dimension."""
    return functional.layer_norm(x, x.shape[-1:], eps=1e-5)


def embed(table: Tensor, index: Tensor, runs: Tensor) -> Tensor:
    """Look up the index in each run's own table, (runs, entries, width)."""
    return functional.embedding(runs * table.shape[1] + index, table.flatten(0, 1))


def apply(x: Tensor, product: Affine, counts: Sequence[int]) -> Tensor:
    """Return x W + b for (rows, length, inputs), each row by its run's product."""
    length = x.shape[1]
    return linear(x.flatten(0, 1), *product, [count * length for count in counts]).view(*x.shape[:2], -1)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention where the queries are the last positions of the keys."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    shape = scores.shape[-2:]
    later = torch.ones(shape, dtype=torch.bool, device=q.device).triu(1 + shape[1] - shape[0])
    return scores.masked_fill(later, -math.inf).softmax(-1) @ v


def merge(attended: Tensor) -> Tensor:
    """Return (rows, length, width) of (rows, heads, length, width of a head)."""
    return attended.transpose(1, 2).flatten(2)


def finish(x: Tensor, attended: Tensor, layer: Layer, counts: Sequence[int]) -> Tensor:
    """Return a block's output: what was attended to is added to x, then the two products of its inner network."""
    x = x + apply(attended, layer.output, counts)
    inner = functional.gelu(apply(normed(x), layer.up, counts), approximate="tanh")
    return x + apply(inner, layer.down, counts)
