"""CISPO: a capped importance weight."""

from tests.methods.common import never
from tests.methods.entry import Entry, InTRL


def loss(case, eps_low, max_ratio):
    return -case.advantages * case.ratio().detach().clamp(1 - eps_low, max_ratio) * case.new


CISPO = Entry(
    "cispo",
    tight={"eps_low": 0.1, "max_ratio": 1.1},
    # -A min(r, 5) log q.
    values="""
        .01  .5      5.298317367     -1              -5.298317367    1
        .01  1.1     9.921692014     -2.2            -9.921692014    2.2
        .01  8       25.25728644     -10             -25.25728644    10
        .5   .5      1.386294361     -1              -1.386294361    1
        .5   1.1     1.315241402     -2.2            -1.315241402    2.2
        .5   1.9     .1949145187     -3.8            -.1949145187    3.8
        .95  .5      .7444404749     -1              -.7444404749    1
        .95  1.01    .08351278634    -2.02           -.08351278634   2.02
        .95  1.05    .005256573458   -2.1            -.005256573458  2.1
    """,
    stops=never,
    acts=[("eps_low", 0.1, {}), ("max_ratio", 1.2, {})],
    in_trl=InTRL(loss, {"eps_low": 0.4, "max_ratio": 1.5}),
)
