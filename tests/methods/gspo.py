"""GSPO: one ratio for a response."""

import numpy as np
import torch

from tests.methods.common import outside
from tests.methods.entry import Entry, InTRL


def stops(x, eps_low, eps_high):
    mean = np.where(x.mask, x.log_ratio, 0).sum(-1, keepdims=True) / np.maximum(x.mask.sum(-1, keepdims=True), 1)
    return outside(x.advantages, np.exp(mean), 1 - eps_low, 1 + eps_high)


def loss(case, eps_low, eps_high):
    """The sequence form: one ratio a response, whose gradient reaches all its tokens; the same after the token mean."""
    lengths = case.mask.sum(-1, keepdim=True).clamp_min(1)
    ratio = torch.exp(((case.new - case.old) * case.mask).sum(-1, keepdim=True) / lengths)
    clipped = ratio.clamp(1 - eps_low, 1 + eps_high)
    return torch.maximum(-case.advantages * ratio, -case.advantages * clipped)


GSPO = Entry(
    "gspo",
    tight={"eps_low": 0.02, "eps_high": 0.03},
    # one-token responses: max(-A r, -A clip(r, .9997, 1.0004)).
    values="""
        .01  .999    -1.998          -1.998          1.9994          0
        .01  1.0001  -2.0002         -2.0002         2.0002          2.0002
        .01  1.001   -2.0008         0               2.002           2.002
        .5   .999    -1.998          -1.998          1.9994          0
        .5   1.0001  -2.0002         -2.0002         2.0002          2.0002
        .5   1.001   -2.0008         0               2.002           2.002
        .95  .999    -1.998          -1.998          1.9994          0
        .95  1.0001  -2.0002         -2.0002         2.0002          2.0002
        .95  1.001   -2.0008         0               2.002           2.002
    """,
    stops=stops,
    acts=[("eps_low", 0.1, {}), ("eps_high", 0.2, {})],
    in_trl=InTRL(loss, {"eps_low": 0.05, "eps_high": 0.07}, of_response=True),
)
