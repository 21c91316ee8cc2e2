"""DRPO: a quadratic penalty on q - μ."""

import torch

from tests.methods.common import never
from tests.methods.entry import Entry, InTRL


def loss(case, delta):
    ratio = torch.exp(case.new - case.sampler)
    return -case.advantages * ratio + case.advantages.abs() * case.sampler.exp() * (ratio - 1) ** 2 / (2 * delta)


DRPO = Entry(
    "drpo",
    tight={"delta": 0.02},
    # -A r + |A| p (r - 1)²/25; -∂ = A r (1 - sign(A (r - 1)) |q - p|/12.5).
    values="""
        .01  .5      -.9998          -1.0004         1.0002          .9996
        .01  1.1     -2.199992       -2.199824       2.200008        2.200176
        .01  2       -3.9992         -3.9968         4.0008          4.0032
        .5   .5      -.99            -1.02           1.01            .98
        .5   1.1     -2.1996         -2.1912         2.2004          2.2088
        .5   1.9     -3.7676         -3.6632         3.8324          3.9368
        .95  .5      -.981           -1.038          1.019           .962
        .95  1.01    -2.0199924      -2.0184648      2.0200076       2.0215352
        .95  1.05    -2.09981        -2.09202        2.10019         2.10798
    """,
    stops=never,
    acts=[("delta", 0.1, {})],
    needs=("logp_rollout",),
    in_trl=InTRL(loss, {"delta": 0.1}),
)
