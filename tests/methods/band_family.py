"""The band of every divergence, and the two with another lower side; bounds by bisection in mpmath."""

import functools

import numpy as np

from benchmarks import oracle
from tests.methods.common import DUAL_CLIP, SIDES
from tests.methods.entry import Entry

mp = oracle.mp

# A ratio below, inside and above the bounds of most divergences, by old probability.
MOVES = {0.01: (0.001, 3.0, 40.0), 0.5: (0.5, 1.05, 1.9), 0.95: (0.8, 1.01, 1.052)}
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


def values(bounds):
    """Return the rows of `Entry.values`: A = 2 and A = -2 at every move, held at the bounds of its probability."""
    rows = []
    for (p, ratios), written in zip(MOVES.items(), bounds.split(", "), strict=True):
        low, high = (None if bound == "-" else float(bound) for bound in written.split(" .. "))
        for r in ratios:
            good = (-2 * high, 0.0) if high is not None and r > high else (-2 * r, -2 * r)
            bad = (2 * low, 0.0) if low is not None and r < low else (2 * r, 2 * r)
            rows.append(" ".join(map(repr, (p, r, *good, *bad))))
    return "\n".join(rows)


def band(name, *, bounds, divergence="", tight=TIGHT, acts=ACTS):
    """Return the entry of a band with these bounds of the ratio at the probabilities of `MOVES`.

    A dash is a bound that no move of its probability reaches.
    """
    decide = functools.partial(stops, divergence=divergence or name.removeprefix("band-"))
    return Entry(name, tight=tight, values=values(bounds), stops=decide, acts=acts)


KL = band(
    "band-kl",
    # KL(p || r p) <= .05.
    bounds=".002497385718 .. 7.80984629, .69151567 .. 1.30848433, .895723688 .. 1.044104123",
)
TV = band(
    "band-tv",
    # |r p - p| <= .05.
    bounds="- .. 6, .9 .. 1.1, .947368421 .. -",
)
CHI2 = band(
    "band-chi2",
    # p (r - 1)²/(1 - p) <= .05.
    bounds="- .. 3.224859546, .7763932025 .. 1.223606798, .9487010825 .. 1.051298918",
)
# The next two have one side set already, so that another rule of the same side would be refused.
UPPER = band(
    "band-upper",
    divergence="kl",
    tight={"delta": 0.01, "eps_low": 0.05},
    # band-kl above, .8 below.
    bounds=".8 .. 7.80984629, .8 .. 1.30848433, - .. 1.044104123",
    acts=[
        *[change for change in ACTS if change[0] not in ("delta_low", "lower")],
        ("delta_low", 0.01, {"eps_low": None}),
        ("lower", "mirror", {"eps_low": None}),
    ],
)
MIRROR = band(
    "band-mirror",
    divergence="kl",
    # band-kl above; below one over band-kl's upper bound of 1 - p.
    bounds=".9900247245 .. 7.80984629, .7642430075 .. 1.30848433, - .. 1.044104123",
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
    bounds="- .. 5.511428525, .6864368035 .. 1.313563197, .9134742855 .. -",
)
NEYMAN_CHI2 = band(
    "band-neyman-chi2",
    # f = (u - 1)²/u.
    bounds=".1460570418 .. 6.520609625, .78178211 .. 1.21821789, .9225340795 .. 1.032353138",
)
HELLINGER = band(
    "band-hellinger",
    # f = (√u - 1)².
    bounds="- .. 10.15002537, .566700522 .. 1.433299478, .8538179665 .. -",
)
LE_CAM = band(
    "band-le-cam",
    # f = (u - 1)²/(u + 1).
    bounds="- .. 7.310932935, .687652476 .. 1.312347524, .901602679 .. -",
)
JS = band(
    "band-js",
    # f = ½ (u log(2u/(1 + u)) + log(2/(1 + u))).
    bounds="- .. 17.92992985, - .. 1.596481155, - .. -",
)
JEFFREYS = band(
    "band-jeffreys",
    # f = (u - 1) log u.
    bounds=".006583739605 .. 4.332484294, .778258083 .. 1.221741917, .9377230245 .. 1.03863376",
)
ALPHA = band(
    "band-alpha=1.5",
    # f = (u^1.5 - 1.5 u + .5)/.75.
    bounds="- .. 4.732731848, .6847791125 .. 1.315220887, .920931724 .. -",
)
