"""ATR-GRPO: one bound on r - 1 - log r for every token."""

import numpy as np

from tests.methods.common import DUAL_CLIP, outside
from tests.methods.entry import Entry


def stops(x, delta, dual_clip):
    far = x.ratio - 1 - np.log(x.ratio) > delta
    return outside(x.advantages, x.ratio, np.where(far, 1, 0), np.where(far, 1, np.inf), dual_clip)


ATR_GRPO = Entry(
    "atr-grpo",
    tight={"delta": 0.005, "dual_clip": 1.3},
    # r - 1 - log r <= .05: .7161894552 .. 1.3504032560.
    values="""
        .01  .5      -1              -1              1.43237891      0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  2       -2.700806512    0               4               4
        .5   .5      -1              -1              1.43237891      0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.700806512    0               3.8             3.8
        .95  .5      -1              -1              1.43237891      0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=stops,
    acts=[("delta", 0.01, {}), DUAL_CLIP],
)
