"""What the contract tests compare with: formulas by hand in fp64, bounds by bisection, nothing of the library.

Also the batches they run on, whose masked positions hold garbage.
"""

import math
from typing import NamedTuple

import torch

GARBAGE = {"zeros": 0.0, "noise": 37.0, "huge": -1e4, "nan": math.nan, "inf": math.inf}
FINITE_GARBAGE = ("zeros", "noise", "huge")


class Batch(NamedTuple):
    """(B, T) tensors; `new` requires gradients, masked positions of all but `mask` hold garbage."""

    new: torch.Tensor
    old: torch.Tensor
    rollout: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor


def batch(garbage="zeros", dtype=torch.float32, rows=4, tokens=9, seed=0, spread=0.5):
    """Rare and likely tokens, ratios far from 1, ragged lengths with a hole in the first row."""
    random = torch.Generator().manual_seed(seed)

    def draw():
        return torch.randn(rows, tokens, generator=random)

    old = -0.02 - 4 * torch.rand(rows, tokens, generator=random)
    new = (old + spread * draw()).clamp(max=-0.001)
    rollout = (old + 0.2 * draw()).clamp(max=-0.001)
    advantages = torch.randn(rows, 1, generator=random).expand(rows, tokens)
    lengths = torch.tensor([tokens - i % 4 for i in range(rows)])
    mask = torch.arange(tokens).expand(rows, tokens) < lengths[:, None]
    mask[0, 2] = False
    hole = GARBAGE[garbage]
    new, old, rollout, advantages = (torch.where(mask, x, hole).to(dtype) for x in (new, old, rollout, advantages))
    return Batch(new.requires_grad_(), old, rollout, advantages.float(), mask)


def bernoulli_kl(p, q):
    """KL(Bern(p) || Bern(q))."""
    rest = 0.0 if p == 1 else (1 - p) * (math.log1p(-p) - math.log1p(-q))
    return p * (math.log(p) - math.log(q)) + rest


def band_kl(logp, delta):
    """Ratio bounds of Band-KL, by 200 bisections a side, fp64."""

    def bound(p, above):
        inside, outside = p, 1.0 if above else 0.0
        for _ in range(200):
            middle = (inside + outside) / 2
            if middle in (0.0, 1.0) or bernoulli_kl(p, middle) > delta:
                outside = middle
            else:
                inside = middle
        return inside / p

    p = logp.detach().double().exp().flatten().tolist()
    low, high = ([bound(one, above) for one in p] for above in (False, True))
    return torch.tensor(low).double().view_as(logp), torch.tensor(high).double().view_as(logp)


def per_token(name, x, anchor="old", delta=0.05):
    """ℓ of every token of a batch, fp64 with gradient to `x.new`, 0 where masked."""
    fill = lambda t: torch.where(x.mask, t.double(), -1.0)  # noqa: E731
    new, base = fill(x.new), fill(x.rollout if anchor == "rollout" else x.old).detach()
    good = torch.where(x.mask, x.advantages.double(), 0.0)
    ratio = torch.exp(new - base)
    if name == "band-kl":
        low, high = band_kl(base, delta)
        loss = -torch.minimum(ratio * good, ratio.clamp(low, high) * good)
    elif name in ("grpo", "dual-clip"):
        loss = -torch.minimum(ratio * good, ratio.clamp(0.8, 1.2) * good)
        if name == "dual-clip":
            loss = torch.where(good < 0, torch.minimum(loss, -3 * good), loss)
    elif name == "dppo-tv":
        moved = (new.exp() - base.exp()).detach()
        kept = ~(((good > 0) & (moved > 0.15)) | ((good < 0) & (moved < -0.15)))
        loss = -good * kept * ratio.detach() * new
    elif name == "sapo":
        tau = torch.where(good > 0, 1.0, 1.05)
        loss = -good * 4 / tau * torch.sigmoid(tau * (ratio - 1))
    elif name == "cispo":
        loss = -good * ratio.clamp(max=5.0).detach() * new
    elif name == "gspo":
        count = x.mask.sum(-1, keepdim=True).clamp_min(1)
        mean = torch.where(x.mask, new - base, 0.0).sum(-1, keepdim=True) / count
        s = torch.exp(mean).expand_as(new)
        loss = -torch.minimum(s * good, s.clamp(1 - 3e-4, 1 + 4e-4) * good)
    else:
        raise ValueError(name)
    return torch.where(x.mask, loss, 0.0)


def gradient(loss, of):
    """∂loss/∂of in fp64."""
    return torch.autograd.grad(loss, of, retain_graph=True)[0].double()


def assert_close(found, expected, tolerance=2e-6):
    """Equal within fp32 rounding, relative to the largest entry."""
    found, expected = found.detach().double(), expected.detach().double()
    assert torch.isfinite(found).all()
    scale = expected.abs().max().clamp_min(1e-3)
    assert (found - expected).abs().max() <= tolerance * scale, (found, expected)
