"""What is measured: the band and the loss in every form they have, and what they are measured against.

A peer is a name and a function of a batch without arguments that does the work once. Peers of one group do the same
work, or move the bytes that no implementation of it can avoid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.objective.loss import policy_loss
from bandpo.core.regions.band import band
from bandpo.core.regions.dispatch import has_triton
from bandpo.engines.common.releases import is_installed

DELTA = 0.05
BISECTION_STEPS = 50
# A thousand tokens a row, as in training.
ROW = 1000


class Batch(NamedTuple):
    """Log-probs of a policy that has moved, rare and likely tokens alike; logp carries a gradient."""

    logp: Tensor
    logp_old: Tensor
    advantages: Tensor
    mask: Tensor


class Peer(NamedTuple):
    """One implementation.

    Attributes:
        name: what the table calls it.
        work: does it once.
        largest: more tokens than this take too long to be worth measuring.
    """

    name: str
    work: Callable[[Batch], Any]
    largest: float = 1e9


def make_batch(tokens: int, device: str, seed: int = 0) -> Batch:
    """Return a batch of that many tokens in fp32: log p even over log(-log p), one in ten masked.

    >>> make_batch(2000, "cpu").logp.shape
    torch.Size([2, 1000])
    """
    generator = torch.Generator(device).manual_seed(seed)
    shape = (max(tokens // ROW, 1), min(tokens, ROW))
    uniform = torch.rand(shape, generator=generator, device=device)
    logp_old = -torch.exp(uniform * 12 - 9.2)
    noise = torch.randn(shape, generator=generator, device=device)
    logp = (logp_old + 0.2 * noise * (1 - logp_old.exp()).sqrt()).clamp_max(0.0).requires_grad_()
    advantages = torch.randn(shape[0], generator=generator, device=device)
    return Batch(logp, logp_old, advantages, uniform < 0.9)


def bisection_bounds(logp: Tensor, delta: float = DELTA, steps: int = BISECTION_STEPS) -> tuple[Tensor, Tensor]:
    """Solve Band-KL's bounds as the paper does: bisection of g_KL(p, r) = δ in r, on [0, 1] and [1, 1/p].

    >>> [bound.item() for bound in bisection_bounds(torch.tensor([0.5]).log())]
    [0.6915..., 1.3084...]
    """
    p = torch.exp(logp)

    def divergence(r: Tensor) -> Tensor:
        others = ((1 - r * p) / (1 - p)).clamp_min(1e-12)
        return -p * torch.log(r.clamp_min(1e-12)) - (1 - p) * torch.log(others)

    bounds = []
    for outside in (torch.zeros_like(p), 1 / p):
        inside = torch.ones_like(p)
        for _ in range(steps):
            middle = (inside + outside) / 2
            is_within = divergence(middle) <= delta
            inside, outside = torch.where(is_within, middle, inside), torch.where(is_within, outside, middle)
        bounds.append((inside + outside) / 2)
    return bounds[0], bounds[1]


def stock_clip(batch: Batch) -> Tensor:
    """Return PPO's clip loss as engines write it, token mean, ratio 0.8 .. 1.2."""
    advantages = batch.advantages.unsqueeze(1)
    ratio = torch.exp(batch.logp - batch.logp_old)
    losses = torch.max(-advantages * ratio, -advantages * torch.clamp(ratio, 0.8, 1.2))
    return (losses * batch.mask).sum() / batch.mask.sum()


def _loss(method: str, *, metrics: bool, kernel: str = "torch", bounds: bool = True) -> Callable[[Batch], Tensor]:
    def run(batch: Batch) -> Tensor:
        options = {"aggregation": "token-mean", "metrics": metrics, "kernel": kernel, "bounds": bounds, "check": False}
        return policy_loss(*batch, method=method, **options).loss

    return run


def both_ways(loss: Callable[[Batch], Tensor]) -> Callable[[Batch], None]:
    """Return the work forward and backward; the gradient is thrown away."""

    def run(batch: Batch) -> None:
        loss(batch).backward()
        batch.logp.grad = None

    return run


def _captured(work: Callable[[Batch], Any]) -> Callable[[Batch], Any]:
    """Return the work as a CUDA graph, captured at the first call with a batch and replayed after."""
    graphs: dict[int, torch.cuda.CUDAGraph] = {}

    def run(batch: Batch) -> None:
        address = batch.logp.data_ptr()
        if address not in graphs:
            graphs.clear()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                work(batch)
            torch.cuda.current_stream().wait_stream(stream)
            graphs[address] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graphs[address]):
                work(batch)
        graphs[address].replay()

    return run


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, fullgraph=True, dynamic=False)


def _copy_floor(bytes_in: int, bytes_out: int) -> Callable[[Batch], None]:
    """Return work that reads and writes that many bytes a token, and nothing else."""
    moved: dict[int, tuple[Tensor, Tensor]] = {}

    def run(batch: Batch) -> None:
        tokens, device = batch.logp.numel(), batch.logp.device
        if tokens not in moved:
            moved.clear()
            half = tokens * (bytes_in + bytes_out) // 8
            moved[tokens] = torch.zeros(half, device=device), torch.empty(half, device=device)
        source, target = moved[tokens]
        target.copy_(source)

    return run


def bound_peers(device: str) -> list[Peer]:
    """Return the peers of Band-KL's bounds at δ = 0.05, forward: 4 bytes in and 8 out a token."""
    fused = [Peer("band, one kernel", lambda batch: band(batch.logp_old, DELTA, kernel="triton", check=False))]
    compiled = _compiled(lambda logp: band(logp, DELTA, check=False))
    radius = torch.tensor(DELTA, device=device)
    solved = _compiled(lambda logp, delta: band(logp, delta, check=False))
    return [
        Peer("memory copy, 12 bytes a token", _copy_floor(4, 8)),
        Peer("band, compiled", lambda batch: compiled(batch.logp_old)),
        *(fused if device == "cuda" and has_triton() else []),
        Peer("band, compiled, δ a tensor", lambda batch: solved(batch.logp_old, radius), 1e7),
        Peer("band, eager", lambda batch: band(batch.logp_old, DELTA, kernel="torch", check=False), 1e7),
        Peer("bisection, 50 steps a side, eager", lambda batch: bisection_bounds(batch.logp_old), 1e6),
    ]


def loss_peers(device: str) -> list[Peer]:
    """Return the peers of the loss, forward and backward, token mean, without metrics where not said."""
    peers = [
        Peer("memory copy, 25 bytes a token", _copy_floor(13, 12)),
        Peer("stock PPO clip, eager", both_ways(stock_clip)),
        Peer("stock PPO clip, compiled", both_ways(_compiled(stock_clip))),
        Peer("grpo, compiled", both_ways(_compiled(_loss("grpo", metrics=False)))),
        Peer("band-kl, compiled", both_ways(_compiled(_loss("band-kl", metrics=False)))),
        Peer("band-kl, eager", both_ways(_loss("band-kl", metrics=False)), 1e7),
        Peer("band-kl with metrics, compiled", both_ways(_compiled(_loss("band-kl", metrics=True)))),
        Peer("band-kl with metrics, eager", both_ways(_loss("band-kl", metrics=True)), 1e7),
        Peer("band-js, bounds searched, eager", both_ways(_loss("band-js", metrics=False)), 1e6),
        Peer("band-js without bounds, eager", both_ways(_loss("band-js", metrics=False, bounds=False)), 1e7),
        Peer("band-js without bounds, compiled", both_ways(_compiled(_loss("band-js", metrics=False, bounds=False)))),
    ]
    if device == "cuda" and has_triton():
        fused = both_ways(_loss("band-kl", metrics=False, kernel="triton"))
        peers += [
            Peer("band-kl, fused kernel", fused),
            Peer("band-kl, fused kernel in a CUDA graph", _captured(fused)),
            Peer("band-kl with metrics, fused kernel", both_ways(_loss("band-kl", metrics=True, kernel="triton"))),
        ]
    if is_installed("verl"):
        peers.append(Peer("verl's own clip loss, eager", both_ways(_verl_clip), 1e7))
    return peers


def _verl_clip(batch: Batch) -> Tensor:
    """Return verl's `vanilla` loss, token mean."""
    from types import SimpleNamespace

    from verl.trainer.ppo.core_algos import get_policy_loss_fn  # pyright: ignore[reportMissingImports]

    numbers = {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.2}
    config = SimpleNamespace(**numbers, global_batch_info={}, get=lambda name, default=None: default)
    advantages = batch.advantages.unsqueeze(1).expand_as(batch.logp)
    return get_policy_loss_fn("vanilla")(
        batch.logp_old, batch.logp, advantages, batch.mask, loss_agg_mode="token-mean", config=config
    )[0]
