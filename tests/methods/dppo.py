"""DPPO: tokens beyond a divergence from the sampler are dropped, by the token's own two events or by a list."""

import numpy as np
import torch

from tests.methods.entry import Entry, InTRL

TIGHT = {"delta_low": 0.01, "delta_high": 0.02, "max_ratio": 1.3}
ACTS = [
    ("delta", 0.02, {}),
    ("delta_low", 0.02, {}),
    ("delta_high", 0.005, {}),
    ("max_ratio", 1.2, {}),
    ("two_sided", True, {}),
]
LISTED = ("logp_rollout", "topk_logp", "topk_logp_rollout")


def stops_beyond(distance_of):
    def stops(x, delta, delta_low, delta_high, max_ratio, two_sided):
        distance = distance_of(x)
        above = (distance > (delta if delta_high is None else delta_high)) & (x.ratio > 1)
        below = (distance > (delta if delta_low is None else delta_low)) & (x.ratio < 1)
        return (above | below) if two_sided else np.where(x.advantages > 0, above, below)

    return stops


def binary_kl(p, q):
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def with_rest(listed):
    return np.concatenate([listed, 1 - listed.sum(-1, keepdims=True)], -1)


def lists(x):
    return [with_rest(np.exp(x.inputs[name])) for name in ("topk_logp_rollout", "topk_logp")]


def top_k_tv(x):
    mu, q = lists(x)
    return np.abs(mu - q).sum(-1) / 2


def top_k_kl(x):
    mu, q = lists(x)
    return (mu * np.log(mu / q)).sum(-1)


def in_trl(distance_of, delta):
    """-A detached(r) logp, for all but the tokens that move out beyond δ."""

    def loss(case, delta):
        moved = case.new.exp().detach() - case.sampler.exp()
        dropped = (distance_of(case).detach() > delta) & (moved * case.advantages > 0)
        return -case.advantages * torch.exp(case.new - case.sampler).detach() * (~dropped) * case.new

    return InTRL(loss, {"delta": delta})


def case_tv(case):
    return (case.new.exp() - case.sampler.exp()).abs()


def case_kl(case):
    p, q = case.sampler.exp(), case.new.exp()
    return p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))


def case_lists(case):
    listed = case.topk_sampler.exp(), case.topk_new.exp()
    return [torch.cat([part, 1 - part.sum(-1, keepdim=True)], -1) for part in listed]


def case_top_k_tv(case):
    p, q = case_lists(case)
    return (p - q).abs().sum(-1) / 2


def case_top_k_kl(case):
    p, q = case_lists(case)
    return (p * torch.log(p / q)).sum(-1)


def two_tokens(p, q):
    """The sampled token and one other that has half, then four fifths, of what is left."""
    mu, listed = (torch.tensor([[part]]).double().log() for part in ([p, (1 - p) / 2], [q, (1 - q) * 0.8]))
    return {"topk_logp": listed, "topk_logp_rollout": mu}


TV = Entry(
    "dppo-tv",
    tight=TIGHT,
    # -A min(r, 1e4) log q, 0 where A (r - 1) > 0 and |q - p| > .15.
    values="""
        .01  .01     .1842068074     -.02            -.1842068074    .02
        .01  1.1     9.921692014     -2.2            -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     1.315241402     -2.2            -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    .005256573458   -2.1            -.005256573458  2.1
    """,
    stops=stops_beyond(lambda x: np.abs(x.q - x.p)),
    acts=ACTS,
    needs=("logp_rollout",),
    in_trl=in_trl(case_tv, 0.05),
)
KL = Entry(
    "dppo-kl",
    tight={**TIGHT, "two_sided": True},
    # the same with p log(p/q) + (1 - p) log((1 - p)/(1 - q)) > .05.
    values="""
        .01  .01     .1842068074     -.02            -.1842068074    .02
        .01  1.1     9.921692014     -2.2            -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     1.315241402     -2.2            -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    0               0               -.005256573458  2.1
    """,
    stops=stops_beyond(lambda x: binary_kl(x.p, x.q)),
    acts=ACTS,
    needs=("logp_rollout",),
    in_trl=in_trl(case_kl, 0.01),
)
TOP_K_TV = Entry(
    "dppo-topk-tv",
    tight={**TIGHT, "delta_low": 0.1, "delta_high": 0.2, "two_sided": True},
    # lists (p, (1 - p)/2) and (q, (1 - q) .8), rest (1 - p)/2 and (1 - q) .2; ½ Σ |·| > .15.
    values="""
        .01  .01     .1842068074     -.02            0               0
        .01  1.1     0               0               -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     0               0               -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    .005256573458   -2.1            -.005256573458  2.1
    """,
    value_inputs=two_tokens,
    stops=stops_beyond(top_k_tv),
    acts=ACTS,
    needs=LISTED,
    in_trl=in_trl(case_top_k_tv, 0.4),
)
TOP_K_KL = Entry(
    "dppo-topk-kl",
    tight={**TIGHT, "delta_low": 0.05, "delta_high": 0.2},
    # the same lists; Σ μ log(μ/q) > .05.
    values="""
        .01  .01     .1842068074     -.02            0               0
        .01  1.1     0               0               -9.921692014    2.2
        .01  20      0               0               -64.3775165     40
        .5   .5      1.386294361     -1              0               0
        .5   1.1     0               0               -1.315241402    2.2
        .5   1.9     0               0               -.1949145187    3.8
        .95  .5      .7444404749     -1              0               0
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    0               0               -.005256573458  2.1
    """,
    value_inputs=two_tokens,
    stops=stops_beyond(top_k_kl),
    acts=ACTS,
    needs=LISTED,
    in_trl=in_trl(case_top_k_kl, 1.2),
)
