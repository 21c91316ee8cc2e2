"""The objective again, by hand: ratio space, double precision, bounds by bisection on the divergence's definition.

Nothing here comes from bandpo or from TRL.
"""

import torch

GENERATORS = {
    "kl": lambda r: -torch.log(r),
    "tv": lambda r: 0.5 * (r - 1).abs(),
    "chi2": lambda r: (r - 1) ** 2,
}


def _root(divergence, p, inside, outside, delta):
    """Where p f(r) + (1 - p) f((1 - r p)/(1 - p)) passes delta between two ratios; `outside` if it never does."""
    f = GENERATORS[divergence]

    def within(r):
        return p * f(r) + (1 - p) * f(((1 - r * p) / (1 - p)).clamp_min(0.0)) <= delta

    saturated = within(outside)
    far = outside
    for _ in range(200):
        middle = (inside + outside) / 2
        kept = within(middle)
        inside, outside = torch.where(kept, middle, inside), torch.where(kept, outside, middle)
    return torch.where(saturated, far, inside)


def upper(divergence, p, delta):
    return _root(divergence, p, torch.ones_like(p), 1 / p, delta)


def lower(divergence, p, delta):
    return _root(divergence, p, torch.ones_like(p), torch.zeros_like(p), delta)


def bounds(method, p, *, delta=None, eps_low=None, eps_high=None):
    """Ratio bounds (low, high) of tokens of old probability p, double."""
    if method in ("grpo", "clip-higher", "dual-clip"):
        return torch.full_like(p, 1 - eps_low), torch.full_like(p, 1 + eps_high)
    if method == "no-clip":
        return torch.zeros_like(p), torch.full_like(p, torch.inf)
    if method == "band-upper":
        return torch.full_like(p, 1 - eps_low), upper("kl", p, delta)
    if method == "band-mirror":
        return 1 / upper("kl", 1 - p, delta), upper("kl", p, delta)
    divergence = method.removeprefix("band-")
    return lower(divergence, p, delta), upper(divergence, p, delta)


def surrogate(ratio, advantage, low, high, dual_clip=None, trl_delta=None):
    """Loss per token: gains stop at `high`, losses stop at `low` and, from above, at the dual clip."""
    if trl_delta is not None:
        capped = torch.where(ratio > trl_delta, trl_delta, ratio)
        clipped = torch.where(ratio > high, high, torch.where(ratio < low, low, ratio))
        return -torch.minimum(capped * advantage, clipped * advantage)
    gaining = torch.where(ratio > high, high, ratio)
    losing = torch.where(ratio < low, low, ratio)
    if dual_clip is not None:
        losing = torch.where(losing > dual_clip, dual_clip, losing)
    return -advantage * torch.where(advantage > 0, gaining, losing)


def normalise(per_token, mask, loss_type, *, window, max_tokens=None, dapo_tokens=None):
    """The scalar TRL's loss types ask for; `window` is the number of micro-batches per optimizer step."""
    total, lengths = (per_token * mask).sum(-1), mask.sum(-1)
    if loss_type == "grpo":
        return (total / lengths.clamp_min(1)).mean() / window
    if loss_type == "bnpo":
        return total.sum() / lengths.sum() / window
    if loss_type == "dr_grpo":
        return total.sum() / (len(mask) * max_tokens) / window
    if loss_type == "dapo":
        return total.sum() / dapo_tokens
    assert loss_type == "luspo"
    return total.mean() / window
