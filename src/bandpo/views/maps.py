"""The gradient weight of a method over old probability p and ratio r: the numbers behind each picture of the atlas.

A method that looks at more than a token is shown in a made-up situation, which `situation` says in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.methods.gradient_weight import gradient_weight
from bandpo.core.methods.method import Method

LOG_ODDS = (-4.0, 3.0)
LARGEST_RATIO = 30.0
# Rows are closer together near r = 1, where most methods act.
_CROWDING = 3.0


class Grid(NamedTuple):
    """The points at which the weight is computed: columns evenly in log10 p/(1 - p), rows in log r, both fp64.

    >>> Grid.of(3, 3).p
    tensor([9.9990e-05, 2.4025e-01, 9.9900e-01], dtype=torch.float64)
    """

    log_odds: Tensor
    log_ratio: Tensor

    @classmethod
    def of(cls, columns: int, rows: int) -> Grid:
        """Return a grid of that size."""
        u = torch.linspace(-1, 1, rows, dtype=torch.float64)
        crowded = torch.sinh(_CROWDING * u) / math.sinh(_CROWDING)
        return cls(torch.linspace(*LOG_ODDS, columns, dtype=torch.float64), math.log(LARGEST_RATIO) * crowded)

    @property
    def logp(self) -> Tensor:
        """Return log p of each column."""
        return torch.nn.functional.logsigmoid(self.log_odds * math.log(10))

    @property
    def p(self) -> Tensor:
        """Return p of each column."""
        return self.logp.exp()

    @property
    def impossible(self) -> Tensor:
        """Return (rows, columns), True where r p is above 1 in the whole cell."""
        lowest = torch.cat((self.log_ratio[:1], self.log_ratio[:-1])).unsqueeze(1)
        rarest = torch.cat((self.logp[:1], self.logp[:-1])).unsqueeze(0)
        return lowest + rarest > 0


class Situation(NamedTuple):
    """The rest of what a method is shown, besides p and r.

    Attributes:
        options: inputs that are numbers, and options that are not the authors'.
        advantages: A of the good and of the bad token.
        note: the same in words.
        choices: name and (label, options) of a further choice that the reader has.
    """

    options: Mapping[str, Any] = {}
    advantages: tuple[float, float] = (1.0, -1.0)
    note: str = ""
    choices: tuple[str, tuple[tuple[str, Mapping[str, Any]], ...]] | None = None


_BONUS = Situation(note="The bonus acts through the logits, not on this weight: the map is that of the base method.")
_LISTED = Situation(note="The list holds only the sampled token, so the map is that of the binary divergence.")
_SITUATIONS = {
    "flex-entropy": Situation(
        {"progress": 0.0, "boost": 1.0},
        note="progress is the share of training that is done, boost is 1 while entropy is to grow; both are inputs.",
    ),
    "dppo-topk-tv": _LISTED,
    "dppo-topk-kl": _LISTED,
    "clip-cov": Situation(
        note="The choice depends on the whole batch. A token that is not chosen sees the clip; a chosen one has "
        "weight 0.",
        choices=(
            "this token is",
            (("not chosen", {}), ("chosen", {"fraction": 1.0, "cov_low": -1.0, "cov_high": 1.0})),
        ),
    ),
    "kl-cov": Situation(
        {"fraction": 1.0},
        note="The choice depends on the whole batch. This is a chosen token; every other one has weight 1.",
    ),
    "gspo": Situation(
        note="The response has this one token. The clip is for the mean over a whole response: a token in a longer one "
        "may move much farther."
    ),
    "quatro": Situation(
        advantages=(0.75, -0.25),
        note="The answer has this one token. Its prompt's four answers have rewards 1, 0, 0, 0: A is 0.75 or -0.25.",
    ),
    "tre": _BONUS,
    "entropy": _BONUS,
}


def situation(method: Method) -> Situation:
    """Return the situation a method is shown in.

    >>> situation(bandpo.get_method("quatro")).advantages
    (0.75, -0.25)
    """
    return _SITUATIONS.get(method.name, Situation())


def weights(method: Method, grid: Grid, options: Mapping[str, Any]) -> Tensor:
    """Return `gradient_weight` of a good and of a bad token at every point of the grid, (2, rows, columns).

    Args:
        method: the method, in its `situation`.
        grid: where; beyond r p = 1 the weight is that at r p = 1.
        options: hyperparameters, and inputs that are numbers, put over the situation's.

    Raises:
        TypeError, ValueError: as the method.

    >>> weights(bandpo.get_method("grpo"), Grid.of(2, 3), {})[0]
    tensor([[1., 1.],
            [1., 1.],
            [0., 1.]], dtype=torch.float64)
    """
    shown = situation(method)
    options = {**shown.options, **options}
    logp = grid.logp.unsqueeze(0)
    d = torch.minimum(grid.log_ratio.unsqueeze(1), -logp)
    # Each token is a response of its own.
    tokens = logp.expand_as(d).reshape(-1, 1), (logp + d).clamp_max(0.0).reshape(-1, 1)
    needed = {name: x.made_up(*tokens, vocabulary=4) for name, x in method.inputs.items() if not x.optional}
    given = {**needed, **options}
    return torch.stack([gradient_weight(method, logp, d, a, **given) for a in shown.advantages])
