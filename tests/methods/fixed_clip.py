"""Fixed clips, and none at all."""

from tests.methods.common import DUAL_CLIP, NO_DUAL_CLIP, SIDES, TIGHT_CLIP, fixed
from tests.methods.entry import Entry

GRPO = Entry(
    "grpo",
    tight=TIGHT_CLIP,
    # max(-A r, -A clip(r, .8, 1.2)); a token of p = .95 cannot reach 1.2.
    values="""
        .01  .5      -1              -1              1.6             0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  5       -2.4            0               10              10
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=fixed,
    acts=[*SIDES, DUAL_CLIP],
)
CLIP_HIGHER = Entry(
    "clip-higher",
    tight={"eps_low": 0.1, "eps_high": 0.05, "dual_clip": 1.2},
    # max(-A r, -A clip(r, .8, 1.28)).
    values="""
        .01  .5      -1              -1              1.6             0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  5       -2.56           0               10              10
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.56           0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=fixed,
    acts=[*SIDES, DUAL_CLIP],
)
DUAL = Entry(
    "dual-clip",
    tight={**TIGHT_CLIP, "dual_clip": 1.2},
    # grpo, and for A < 0 at most -A 3.
    values="""
        .01  .5      -1              -1              1.6             0
        .01  2       -2.4            0               4               4
        .01  5       -2.4            0               6               0
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=fixed,
    acts=[*SIDES, DUAL_CLIP, NO_DUAL_CLIP],
)
TWO_SIDED = Entry(
    "two-sided",
    tight={**TIGHT_CLIP, "dual_clip": 1.3},
    # grpo, and for A < 0 at most -A 4.
    values="""
        .01  .5      -1              -1              1.6             0
        .01  2       -2.4            0               4               4
        .01  5       -2.4            0               8               0
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.4            0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=fixed,
    acts=[*SIDES, DUAL_CLIP, NO_DUAL_CLIP],
)
NO_CLIP = Entry(
    "no-clip",
    tight={"dual_clip": 1.2},
    # -A r.
    values="""
        .01  .5      -1              -1              1               1
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  5       -10             -10             10              10
        .5   .5      -1              -1              1               1
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -3.8            -3.8            3.8             3.8
        .95  .5      -1              -1              1               1
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    stops=fixed,
    stopped=0,
    acts=[DUAL_CLIP],
)
