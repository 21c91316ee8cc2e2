"""QUATRO: each prompt in a KL region, whose multiplier is found by bracketing."""

import math

import numpy as np
import torch

from tests.methods.entry import Entry, InTRL

# The multiplier of rewards 1 and 0 is 1 at this radius: w = e/(e + 1), w log 2w + (1 - w) log 2(1 - w).
UNIT_RADIUS = 0.11094407167172735


def stops(x, delta):
    return np.ptp(x.inputs["group_rewards"], -1, keepdims=True) == np.zeros(x.mask.shape)


def multiplier(rewards, delta):
    from scipy.optimize import brentq

    def excess(log_multiplier):
        weights = torch.softmax(rewards / math.exp(log_multiplier), 0)
        return (weights * torch.log(weights * len(rewards))).sum().item() - delta

    return math.exp(brentq(excess, -6, 12, xtol=1e-14))


def loss(case, delta):
    multipliers = [multiplier(rewards, delta) for rewards in case.group_rewards.double()]
    log_ratio = ((case.new - case.old) * case.mask).sum(-1, keepdim=True).detach()
    pull = torch.tensor(multipliers, dtype=torch.float64)[:, None] * log_ratio
    return -torch.exp(log_ratio) * (case.advantages - pull) * case.new


QUATRO = Entry(
    "quatro",
    tight={"delta": 0.4},
    # one-token answers, rewards whose multiplier is 1: -r (A - log r) log q.
    values="""
        .01  .5      7.134574239     -1.34657359     -3.462060494    .6534264097
        .01  1.1     9.448872889     -2.095158802    -10.39451114    2.304841198
        .01  2       10.22487659     -2.613705639    -21.07130745    5.386294361
        .5   .5      1.866747375     -1.34657359     -.9058413472    .6534264097
        .5   1.1     1.252563454     -2.095158802    -1.377919349    2.304841198
        .5   1.9     .132361198      -2.580477616    -.2574678393    5.019522384
        .95  .5      1.002443883     -1.34657359     -.4864370668    .6534264097
        .95  1.01    .08309729641    -2.009950166    -.08392827627   2.030049834
        .95  1.05    .005128338917   -2.048770328    -.005384807999  2.151229672
    """,
    value_inputs=lambda p, q: {"group_rewards": torch.tensor([[1.0, 0.0]]).double(), "delta": UNIT_RADIUS},
    stops=stops,
    acts=[("delta", 0.3, {})],
    needs=("group_rewards",),
    moves_without_advantage=True,
    in_trl=InTRL(loss, {"delta": 0.1}, arguments={"scale_rewards": "none"}),
)
