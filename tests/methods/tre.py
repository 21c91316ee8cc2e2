"""TRE: a bonus on the entropy among the likely tokens."""

import math

import torch

from tests.methods.common import as_base, ppo
from tests.methods.entry import Entry, InTRL


def loss(case, coef, top_k):
    log_p = torch.log_softmax(case.logits.sort(-1, descending=True).values[..., :top_k], -1)
    scale = math.log(case.logits.shape[-1]) / math.log(top_k)
    return ppo(case) + coef * scale * (log_p.exp() * log_p).sum(-1)


TRE = Entry(
    "tre",
    tight={"coef": 0.1, "top_k": None, "top_p": 0.7, "base": "band-tv", "base_kwargs": {"delta": 0.01}},
    # grpo - .001 H, logits (2, 2, 0, 0): of the two likely tokens log 2, times log 4/log 2.
    values="""
        .5   .5      -1.001386294    -1              1.598613706     0
        .5   1.1     -2.201386294    -2.2            2.198613706     2.2
        .5   1.9     -2.401386294    0               3.798613706     3.8
    """,
    value_inputs=lambda p, q: {"logits": torch.tensor([[[2.0, 2.0, 0.0, 0.0]]]).double()},
    stops=as_base,
    acts=[
        ("coef", 0.1, {}),
        ("top_k", 4, {}),
        ("top_p", 0.9, {"top_k": None, "top_p_before": 0.5}),
        ("base", "no-clip", {}),
        ("base_kwargs", {"eps_low": 0.05}, {}),
    ],
    needs=("logits",),
    in_trl=InTRL(loss, {"coef": 0.1, "top_k": 3}),
)
