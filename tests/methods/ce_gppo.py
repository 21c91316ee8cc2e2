"""CE-GPPO: PPO's clip with a bounded gradient outside."""

import torch

from tests.methods.common import DUAL_CLIP, NO_DUAL_CLIP, SIDES, TIGHT_CLIP
from tests.methods.entry import Entry, InTRL


def stops(x, dual_clip, **_):
    return (x.advantages < 0) & (x.ratio > dual_clip)


def loss(case, beta_low, beta_high):
    ratio, advantage = case.ratio(), case.advantages
    below, above = (advantage < 0) & (ratio < 0.8), (advantage > 0) & (ratio > 1.2)
    unit = ratio / ratio.detach()
    return -advantage * torch.where(below, beta_low * 0.8 * unit, torch.where(above, beta_high * 1.2 * unit, ratio))


CE_GPPO = Entry(
    "ce-gppo",
    tight={"beta_low": 0.5, "beta_high": 0.8, **TIGHT_CLIP, "dual_clip": 1.3},
    # -A r; below .8 with A < 0 -A .75 .8, above 1.2 with A > 0 -A 1 1.2; for A < 0 and r > 10 stopped at -A 10.
    values="""
        .01  .5      -1              -1              1.2             1.2
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  11      -2.4            -2.4            20              0
        .5   .5      -1              -1              1.2             1.2
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            -2.4            3.8             3.8
        .95  .5      -1              -1              1.2             1.2
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=stops,
    stopped=0,
    acts=[("beta_low", 0.5, {}), ("beta_high", 0.5, {}), *SIDES, DUAL_CLIP, NO_DUAL_CLIP],
    in_trl=InTRL(loss, {"beta_low": 0.5, "beta_high": 0.9}),
)
