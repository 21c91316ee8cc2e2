"""MASPO: a Gaussian gate."""

import torch

from tests.methods.common import never
from tests.methods.entry import Entry, InTRL


def loss(case, sigma, alpha):
    ratio, advantage = case.ratio(), case.advantages
    width = (sigma / case.old.exp() ** alpha).clamp(sigma, 10)
    width = width * torch.where(advantage > 0, 1 + 0.03 * advantage, 1 / (1 - 0.03 * advantage)).clamp(0.1, 10)
    gate = torch.exp(-((ratio.detach() - 1) ** 2) / (2 * width**2))
    return -advantage * torch.where((ratio.detach() - 1) * advantage > 0, gate, 1.0) * ratio


MASPO = Entry(
    "maspo",
    tight={
        "sigma": 0.2,
        "alpha": 0.5,
        "beta_pos": 0.5,
        "beta_neg": 0.8,
        "sigma_high": 0.4,
        "scale_low": 0.6,
        "scale_high": 1.4,
    },
    # -A w r, w = e^(-(r - 1)²/(2σ²)) if A (r - 1) > 0; σ = p^-.3 1.06 for A = 2, p^-.3/1.06 for A = -2.
    values="""
        .01  .5      -1              -1              .9911773541     .9911773541
        .01  1.1     -2.199382382    -2.199382382    2.2             2.2
        .01  2       -3.889252079    -3.889252079    4               4
        .5   .5      -1              -1              .9115011319     .9115011319
        .5   1.1     -2.193550507    -2.193550507    2.2             2.2
        .5   1.9     -2.995747265    -2.995747265    3.8             3.8
        .95  .5      -1              -1              .8726738835     .8726738835
        .95  1.01    -2.019912837    -2.019912837    2.02            2.02
        .95  1.05    -2.097735786    -2.097735786    2.1             2.1
    """,
    stops=never,
    acts=[
        ("sigma", 0.5, {}),
        ("alpha", 0.6, {}),
        ("beta_pos", 0.5, {}),
        ("beta_neg", 0.5, {}),
        ("sigma_high", 1.1, {}),
        ("scale_low", 0.9, {"beta_neg": 0.5}),
        ("scale_high", 1.2, {"beta_pos": 0.5}),
    ],
    in_trl=InTRL(loss, {"sigma": 0.5, "alpha": 0.4}),
)
