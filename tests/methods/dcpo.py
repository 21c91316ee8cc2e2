"""DCPO: |(r - 1) r p| is bounded."""

from tests.methods.common import DUAL_CLIP, NO_DUAL_CLIP
from tests.methods.entry import Entry


def stops(x, eps_low, eps_high, max_ratio, dual_clip):
    moved = (x.ratio - 1) * x.ratio * x.p
    above = (x.advantages > 0) & ((moved > eps_high) | (x.ratio > max_ratio))
    below = (x.advantages < 0) & ((x.ratio < 0.5) | (-moved > eps_low))
    return above | below | ((x.advantages < 0) & (x.ratio > dual_clip))


DCPO = Entry(
    "dcpo",
    tight={"eps_low": 0.02, "eps_high": 0.03, "max_ratio": 1.3, "dual_clip": 1.2},
    # ½ + ½ √max(1 - .64/p, 0) .. min(½ + ½ √(1 + .8/p), 10); for A < 0 at most -A 10.
    values="""
        .01  .4      -.8             -.8             1               0
        .01  3       -6              -6              6               6
        .01  11      -10             0               20              0
        .5   .4      -.8             -.8             1               0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61245155     0               3.8             3.8
        .95  .4      -.8             -.8             1.571240571     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=stops,
    acts=[("eps_low", 0.05, {}), ("eps_high", 0.05, {}), ("max_ratio", 1.1, {}), DUAL_CLIP, NO_DUAL_CLIP],
)
