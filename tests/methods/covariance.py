"""Clip-Cov and KL-Cov: tokens are chosen by covariance among the whole batch."""

import numpy as np
import torch

from tests.methods.common import NO_DUAL_CLIP, SIDES, TIGHT_CLIP, fixed, never
from tests.methods.entry import Entry, InTRL

# Of the four tokens -A r: -3 e^-.2, 2 e^.5, 2, -e^-.5. Their covariances A (logp + 2) are 3, 2, -2, -1.
PLAIN = [-2.456192259, 3.297442541, 2.0, -0.6065306597]
NOISE = torch.tensor([[0.3, 0.9, 0.99, 0.1]], dtype=torch.float64)


def stops(x, fraction, cov_low, cov_high, eps_low, eps_high, dual_clip):
    clipped = fixed(x, eps_low, eps_high)
    inside = x.mask
    cov = (x.advantages - x.advantages[inside].mean()) * (x.logp - x.logp[inside].mean())
    eligible = np.flatnonzero(inside & ~clipped & (cov > cov_low) & (cov < cov_high))
    first = eligible[np.argsort(-x.inputs["noise"].flat[eligible])]
    dropped = np.zeros(inside.size, bool)
    dropped[first[: max(1, int(fraction * inside.sum()))]] = True
    return dropped.reshape(inside.shape) | fixed(x, eps_low, eps_high, dual_clip)


def covariance(case):
    inside = case.mask.bool()
    means = case.advantages[inside].mean(), case.new.detach()[inside].mean()
    return (case.advantages - means[0]) * (case.new.detach() - means[1])


def clip_cov_of_all(case):
    """Every eligible token is dropped, which leaves nothing to chance."""
    eligible, ratio = covariance(case), case.ratio()
    capped = torch.where(ratio > 2, 2.0, ratio)
    loss = -case.advantages * torch.where(case.advantages > 0, capped, ratio)
    clipped = (case.advantages > 0) & (ratio > 2)
    return loss * ~((eligible > 0.1) & (eligible < 5) & ~clipped)


def kl_cov(case, fraction, coef):
    inside = case.mask.bool()
    count = max(1, int(fraction * inside.sum()))
    threshold = covariance(case)[inside].sort(descending=True).values[count - 1]
    penalty = coef * (case.new - case.old).abs() * (covariance(case) >= threshold)
    return -case.advantages * case.ratio() + penalty


CLIP_COV = Entry(
    "clip-cov",
    tight={"fraction": 0.2, "cov_low": 0.1, "cov_high": 1.5, **TIGHT_CLIP, "dual_clip": 1.3},
    four_tokens=[
        # Authors' range 1 .. 5 holds the first two tokens; ⌊2e-4 · 4⌋ is 0, so one is dropped, by noise the second.
        ({"noise": NOISE}, [PLAIN[0], 0, *PLAIN[2:]], [PLAIN[0], 0, *PLAIN[2:]]),
        ({"noise": -NOISE}, [0, *PLAIN[1:]], [0, *PLAIN[1:]]),
        ({"noise": NOISE, "fraction": 0.6}, [0, 0, *PLAIN[2:]], [0, 0, *PLAIN[2:]]),
        ({"noise": NOISE, "cov_high": 2.5}, [PLAIN[0], 0, *PLAIN[2:]], [PLAIN[0], 0, *PLAIN[2:]]),
        ({"noise": NOISE, "cov_low": 2.5}, [0, *PLAIN[1:]], [0, *PLAIN[1:]]),
        # The second token's ratio 1.65 is past a dual clip of 1.5: its loss is -A 1.5, without gradient, unless
        # dropped.
        ({"noise": -NOISE, "dual_clip": 1.5}, [0, 3.0, *PLAIN[2:]], [0, 0, *PLAIN[2:]]),
    ],
    stops=stops,
    stopped=1,
    acts=[
        ("fraction", 0.5, {"cov_low": 0.1}),
        ("cov_low", 0.1, {"fraction": 1.0}),
        ("cov_high", 0.5, {"cov_low": 0.1, "fraction": 1.0}),
        *SIDES,
        NO_DUAL_CLIP,
    ],
    in_trl=InTRL(clip_cov_of_all, {}, {"fraction": 1.0, "cov_low": 0.1}),
)
KL_COV = Entry(
    "kl-cov",
    tight={"fraction": 0.3, "coef": 0.7},
    four_tokens=[
        # ⌊2e-3 · 4⌋ is 0, so one token is held: the first, with |log r| = .2 and slope -1.
        ({}, [PLAIN[0] + 0.2, *PLAIN[1:]], [PLAIN[0] - 1, *PLAIN[1:]]),
        ({"coef": 0.5}, [PLAIN[0] + 0.1, *PLAIN[1:]], [PLAIN[0] - 0.5, *PLAIN[1:]]),
        ({"fraction": 0.5}, [PLAIN[0] + 0.2, PLAIN[1] + 0.5, *PLAIN[2:]], [PLAIN[0] - 1, PLAIN[1] + 1, *PLAIN[2:]]),
        # All four: the third has not moved and |0| pushes nowhere, the fourth has moved down.
        (
            {"fraction": 1.0},
            [PLAIN[0] + 0.2, PLAIN[1] + 0.5, 2.0, PLAIN[3] + 0.5],
            [PLAIN[0] - 1, PLAIN[1] + 1, 2.0, PLAIN[3] - 1],
        ),
    ],
    stops=never,
    acts=[("fraction", 0.5, {}), ("coef", 0.3, {})],
    moves_without_advantage=True,
    in_trl=InTRL(kl_cov, {"fraction": 0.2, "coef": 0.5}),
)
