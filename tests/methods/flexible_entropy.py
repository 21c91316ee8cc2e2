"""Flexible Entropy Control: the clip trades places with bounds that are wider for rare tokens."""

from tests.methods.common import DUAL_CLIP, outside
from tests.methods.entry import Entry


def stops(x, strategy, eps, slope_high, intercept_high, slope_low, intercept_low, dual_clip):
    rising = (1 + intercept_high) / (1 - slope_high * x.p)
    blend = 1 - 2 * x.inputs["progress"]
    assert blend > 0, "the rules below are those of the first half of training"
    weight = {"id": blend, "did": 1 - blend}[strategy]
    return outside(x.advantages, x.ratio, 1 - eps, weight * rising + (1 - weight) * (1 + eps), dual_clip)


FLEXIBLE_ENTROPY = Entry(
    "flex-entropy",
    tight={
        "strategy": "did",
        "eps": 0.1,
        "slope_high": -0.1,
        "intercept_high": 0.2,
        "slope_low": -0.1,
        "intercept_low": 0.15,
        "dual_clip": 1.3,
    },
    # id at t = ¼: .8 .. ½ 1.5/(1 + p/4) + ½ 1.2.
    values="""
        .01  .5      -1              -1              1.6             0
        .01  1.1     -2.2            -2.2            2.2             2.2
        .01  2       -2.696259352    0               4               4
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.533333333    0               3.8             3.8
        .95  .5      -1              -1              1.6             0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.05    -2.1            -2.1            2.1             2.1
    """,
    value_inputs=lambda p, q: {"progress": 0.25},
    stops=stops,
    acts=[
        ("strategy", "did", {}),
        ("strategy", "od", {}),
        ("eps", 0.05, {}),
        ("slope_high", -0.4, {}),
        ("intercept_high", 0.3, {}),
        ("slope_low", -0.02, {"strategy": "od", "boost": 0.0}),
        ("intercept_low", 0.15, {"strategy": "od", "boost": 0.0}),
        ("slope_low", -0.02, {"progress": 0.6}),
        ("intercept_low", 0.15, {"progress": 0.6}),
        ("slope_high", -0.4, {"strategy": "did", "progress": 0.6}),
        DUAL_CLIP,
    ],
)
