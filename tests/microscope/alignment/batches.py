"""A policy of closed form over twelve tokens, and batches of it with one thing wrong."""

import torch

VOCABULARY, PLACES, GROUPS, ROWS = 12, 8, 48, 8


class Policy:
    """Logits of the token before, the place and the group; a wide range, so that some contexts are nearly certain."""

    def __init__(self, seed=0, moved=0.0):
        draw = torch.Generator().manual_seed(seed)
        self.by_token = 1.5 * torch.randn(VOCABULARY + 1, VOCABULARY, generator=draw, dtype=torch.float64)
        self.by_place = torch.randn(PLACES, VOCABULARY, generator=draw, dtype=torch.float64)
        self.by_group = torch.randn(GROUPS, VOCABULARY, generator=draw, dtype=torch.float64)
        shift = torch.Generator().manual_seed(99)
        self.by_token += moved * torch.randn(VOCABULARY, generator=shift, dtype=torch.float64)

    def logits(self, ids, groups):
        before = torch.cat([torch.full_like(ids[:, :1], VOCABULARY), ids[:, :-1]], 1)
        return self.by_token[before] + self.by_place + self.by_group[groups][:, None]


def plain(logits, ids):
    return logits


def at(temperature):
    return lambda logits, ids: logits / temperature


def top_k(k):
    return lambda logits, ids: logits.masked_fill(logits < logits.topk(k, -1).values[..., -1:], -torch.inf)


def penalised(penalty):
    def warp(logits, ids):
        seen = torch.nn.functional.one_hot(ids, VOCABULARY).cumsum(1)
        seen = torch.cat([torch.zeros_like(seen[:, :1]), seen[:, :-1]], 1) > 0
        return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)

    return warp


def draw_ids(policy, groups, warp, seed):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(groups), PLACES, dtype=torch.int64)
    for place in range(PLACES):
        logits = warp(policy.logits(ids, groups), ids)[:, place]
        ids[:, place] = torch.multinomial(torch.softmax(logits, -1), 1, generator=draw)[:, 0]
    return ids


def scored(policy, ids, groups, warp=plain):
    logs = torch.log_softmax(warp(policy.logits(ids, groups), ids), -1)
    entropy = -(logs.exp() * logs.clamp_min(-100)).sum(-1)
    return logs.gather(-1, ids[..., None])[..., 0], entropy


def batch(*, sampler=plain, new=plain, old=plain, sampled_by=None, new_by=None, old_by=None, sigma=0.0, seed=0):
    """Return the arguments of `diagnose`; each side is a policy and what it does to its logits."""
    policy = Policy()
    groups = torch.arange(GROUPS).repeat_interleave(ROWS)
    ids = draw_ids(sampled_by or policy, groups, sampler, seed)
    logp, entropy = scored(new_by or policy, ids, groups, new)
    logp_old = scored(old_by or policy, ids, groups, old)[0]
    noise = torch.randn(logp.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return {
        "new": (logp - sigma * torch.expm1(logp) * noise).float(),
        "old": logp_old.float(),
        "mask": torch.ones_like(ids, dtype=torch.bool),
        "token_ids": ids,
        "groups": groups,
        "entropy": entropy.float(),
    }
