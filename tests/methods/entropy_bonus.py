"""A bonus on the entropy of the whole vocabulary."""

import torch

from tests.methods.common import as_base, ppo
from tests.methods.entry import Entry, InTRL

ENTROPY = Entry(
    "entropy",
    tight={"coef": 0.1, "base": "atr-grpo", "base_kwargs": {"delta": 0.01, "dual_clip": None}},
    # grpo - .001 H, H = .7.
    values="""
        .5   .5      -1.0007         -1              1.5993          0
        .5   1.1     -2.2007         -2.2            2.1993          2.2
        .5   1.9     -2.4007         0               3.7993          3.8
    """,
    value_inputs=lambda p, q: {"entropy": torch.tensor([[0.7]]).double()},
    stops=as_base,
    acts=[("coef", 0.1, {}), ("base", "no-clip", {}), ("base_kwargs", {"eps_low": 0.05}, {})],
    needs=("entropy",),
    in_trl=InTRL(lambda case, coef: ppo(case) - coef * case.entropy, {"coef": 0.1}),
)
