"""CFPO and SPO: a quadratic penalty on r - 1."""

import dataclasses

from tests.methods.common import never
from tests.methods.entry import Entry, InTRL


def loss(case, eps):
    ratio = case.ratio()
    return -case.advantages * ratio + case.advantages.abs() * (ratio - 1) ** 2 / (2 * eps)


CFPO = Entry(
    "cfpo",
    tight={"eps": 0.05},
    # -A r + |A| (r - 1)²/.4; -∂ = A r - |A| (r - 1) r/.2.
    values="""
        .01  .5      .25             -3.5            2.25            -1.5
        .01  1.1     -2.15           -1.1            2.25            3.3
        .01  2       1               16              9               24
        .5   .5      .25             -3.5            2.25            -1.5
        .5   1.1     -2.15           -1.1            2.25            3.3
        .5   1.9     .25             13.3            7.85            20.9
        .95  .5      .25             -3.5            2.25            -1.5
        .95  1.01    -2.0195         -1.919          2.0205          2.121
        .95  1.05    -2.0875         -1.575          2.1125          2.625
    """,
    stops=never,
    acts=[("eps", 0.1, {})],
    in_trl=InTRL(loss, {"eps": 0.3}),
)
SPO = dataclasses.replace(CFPO, name="spo", tight={"eps": 0.1}, in_trl=None)
