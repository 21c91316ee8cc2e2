"""The band of every divergence, and the two with another lower side; bounds by bisection in mpmath."""

import functools

import numpy as np

from benchmarks import oracle
from tests.methods.common import DUAL_CLIP, SIDES
from tests.methods.entry import Entry

mp = oracle.mp

TIGHT = {"delta": 0.01, "max_ratio": 1.4, "dual_clip": 1.3}
ACTS = [
    *[(radius, 0.01, {}) for radius in ("delta", "delta_low", "delta_high")],
    *[(side, rule, {}) for side in ("lower", "upper") for rule in ("mirror", "none")],
    *SIDES,
    ("max_ratio", 1.05, {}),
    ("relax", (0.5, 0.9), {}),
    DUAL_CLIP,
]


def distance(name, p, r):
    """p f(r) + (1 - p) f((1 - r p)/(1 - p)), infinite where r p >= 1 unless f is finite at 0."""
    generator = oracle.GENERATORS[name]
    left = (1 - r * p) / (1 - p)
    return p * generator.f(r) + (1 - p) * (generator.f(left) if left > 0 else generator.at_zero)


def stops(x, divergence, **options):
    low = options["delta"] if options["delta_low"] is None else options["delta_low"]
    high = options["delta"] if options["delta_high"] is None else options["delta_high"]

    def decide(log_p, log_r, advantage):
        p, r = mp.exp(mp.mpf(log_p)), mp.exp(mp.mpf(log_r))
        if advantage > 0:
            return r > 1 and (distance(divergence, p, r) > high or r > (options["max_ratio"] or mp.inf))
        if r > (options["dual_clip"] or mp.inf):
            return True
        if options["eps_low"] is not None:
            return r < 1 - options["eps_low"]
        # The mirrored lower bound is one over the upper bound of all other tokens.
        is_mirrored = options["lower"] == "mirror"
        return r < 1 and (distance(divergence, 1 - p, 1 / r) if is_mirrored else distance(divergence, p, r)) > low

    return np.vectorize(decide, otypes=[bool])(x.log_p, x.log_ratio, x.advantages)


def band(name, *, divergence="", tight=TIGHT, acts=ACTS, values):
    decide = functools.partial(stops, divergence=divergence or name.removeprefix("band-"))
    return Entry(name, tight=tight, values=values, stops=decide, acts=acts)


KL = band(
    "band-kl",
    # KL(p || r p) <= .05: .0024973857 .. 7.8098463, .6915157 .. 1.3084843, .8957237 .. 1.0441041.
    values="""
        .01  .001    -.002           -.002           .004994771437   0
        .01  3       -6              -6              6               6
        .01  40      -15.61969258    0               80              80
        .5   .5      -1              -1              1.38303134      0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61696866     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.791447376     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.088208245    0               2.104           2.104
    """,
)
TV = band(
    "band-tv",
    # |r p - p| <= .05: 0 .. 6, .9 .. 1.1, .9473684 .. 1/p.
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -12             0               80              80
        .5   .5      -1              -1              1.8             0
        .5   1.05    -2.1            -2.1            2.1             2.1
        .5   1.9     -2.2            0               3.8             3.8
        .95  .8      -1.6            -1.6            1.894736842     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
)
CHI2 = band(
    "band-chi2",
    # p (r - 1)²/(1 - p) <= .05: 0 .. 3.2248595, .7763932 .. 1.2236068, .9487011 .. 1.0512989.
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -6.449719092    0               80              80
        .5   .5      -1              -1              1.552786405     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.447213595    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.897402165     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.102597835    0               2.104           2.104
    """,
)
# The next two have one side set already, so that another rule of the same side would be refused.
UPPER = band(
    "band-upper",
    divergence="kl",
    tight={"delta": 0.01, "eps_low": 0.05},
    # band-kl above, .8 below.
    values="""
        .01  .001    -.002           -.002           1.6             0
        .01  3       -6              -6              6               6
        .01  40      -15.61969258    0               80              80
        .5   .5      -1              -1              1.6             0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61696866     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.6             1.6
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.088208245    0               2.104           2.104
    """,
    acts=[
        *[change for change in ACTS if change[0] not in ("delta_low", "lower")],
        ("delta_low", 0.01, {"eps_low": None}),
        ("lower", "mirror", {"eps_low": None}),
    ],
)
MIRROR = band(
    "band-mirror",
    divergence="kl",
    # band-kl above; below one over band-kl's upper bound of 1 - p: .9900247, .7642430, .3354298.
    values="""
        .01  .001    -.002           -.002           1.980049449     0
        .01  3       -6              -6              6               6
        .01  40      -15.61969258    0               80              80
        .5   .5      -1              -1              1.528486015     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.61696866     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.6             1.6
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.088208245    0               2.104           2.104
    """,
    acts=[
        *[change for change in ACTS if change[0] not in ("eps_low", "lower")],
        ("eps_low", 0.1, {"lower": "band"}),
        ("lower", "band", {}),
        ("lower", "none", {}),
    ],
)
REVERSE_KL = band(
    "band-reverse-kl",
    # f = u log u - u + 1.
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -11.02285705    0               80              80
        .5   .5      -1              -1              1.372873607     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.627126393    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.826948571     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
)
NEYMAN_CHI2 = band(
    "band-neyman-chi2",
    # f = (u - 1)²/u.
    values="""
        .01  .001    -.002           -.002           .2921140835     0
        .01  3       -6              -6              6               6
        .01  40      -13.04121925    0               80              80
        .5   .5      -1              -1              1.56356422      0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.43643578     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.845068159     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.064706277    0               2.104           2.104
    """,
)
HELLINGER = band(
    "band-hellinger",
    # f = (√u - 1)².
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -20.30005074    0               80              80
        .5   .5      -1              -1              1.133401044     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.866598956    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.707635933     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
)
LE_CAM = band(
    "band-le-cam",
    # f = (u - 1)²/(u + 1).
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -14.62186587    0               80              80
        .5   .5      -1              -1              1.375304952     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.624695048    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.803205358     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
)
JS = band(
    "band-js",
    # f = ½ (u log(2u/(1 + u)) + log(2/(1 + u))).
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -35.85985969    0               80              80
        .5   .5      -1              -1              1               1
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -3.19296231     0               3.8             3.8
        .95  .8      -1.6            -1.6            1.6             1.6
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
)
JEFFREYS = band(
    "band-jeffreys",
    # f = (u - 1) log u.
    values="""
        .01  .001    -.002           -.002           .01316747921    0
        .01  3       -6              -6              6               6
        .01  40      -8.664968587    0               80              80
        .5   .5      -1              -1              1.556516166     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.443483834    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.875446049     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.07726752     0               2.104           2.104
    """,
)
ALPHA = band(
    "band-alpha=1.5",
    # f = (u^1.5 - 1.5 u + .5)/.75.
    values="""
        .01  .001    -.002           -.002           .002            .002
        .01  3       -6              -6              6               6
        .01  40      -9.465463696    0               80              80
        .5   .5      -1              -1              1.369558225     0
        .5   1.1     -2.2            -2.2            2.2             2.2
        .5   1.9     -2.630441775    0               3.8             3.8
        .95  .8      -1.6            -1.6            1.841863448     0
        .95  1.01    -2.02           -2.02           2.02            2.02
        .95  1.052   -2.104          -2.104          2.104           2.104
    """,
)
