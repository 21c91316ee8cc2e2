"""SAPO: a sigmoid of the ratio."""

import torch

from tests.methods.common import never
from tests.methods.entry import Entry, InTRL


def loss(case, tau_pos, tau_neg):
    tau = torch.where(case.advantages > 0, tau_pos, tau_neg).double()
    return -case.advantages * 4 / tau * torch.sigmoid(tau * (case.ratio() - 1))


SAPO = Entry(
    "sapo",
    tight={"tau_pos": 4.0, "tau_neg": 6.0},
    # -A 4/τ σ(τ (r - 1)), -∂ = A r 4 s (1 - s); τ = 1 for A > 0, else 1.05.
    values="""
        .01  .5      -3.02032535     -.9400148488    2.831876661     .9341398233
        .01  1.1     -4.1998335      -2.194509154    4.009340262     2.193947375
        .01  2       -5.848468629    -3.145790932    5.643999232     3.072439167
        .5   .5      -3.02032535     -.9400148488    2.831876661     .9341398233
        .5   1.1     -4.1998335      -2.194509154    4.009340262     2.193947375
        .5   1.9     -5.687596021    -3.123604672    5.486541157     3.063593994
        .95  .5      -3.02032535     -.9400148488    2.831876661     .9341398233
        .95  1.01    -4.019999833    -2.019949501    3.829523626     2.019944325
        .95  1.05    -4.099979172    -2.098688047    3.909500847     2.098553633
    """,
    stops=never,
    acts=[("tau_pos", 2.0, {}), ("tau_neg", 2.0, {})],
    in_trl=InTRL(loss, {"tau_pos": 1.5, "tau_neg": 2.0}),
)
