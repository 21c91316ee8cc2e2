"""One batch as the rules see it: its tokens, noise, storage and siblings, each worked out once."""

from __future__ import annotations

import math
from functools import cached_property

import torch

from bandpo.microscope.alignment.noise import ORDINARY_NOISE, SMALLEST_SIGMA, noise_floor
from bandpo.microscope.alignment.panel import Panel, Tokens
from bandpo.microscope.alignment.sampler import Drawn, drawn
from bandpo.microscope.alignment.siblings import Siblings, siblings
from bandpo.microscope.alignment.storage import Storage, storage

EXACT = 1e-4
"""Log-probs of one policy in fp32 differ by less than this between any two kernels."""


class Case:
    """A batch to judge.

    Attributes:
        panel: both sides, with the mask of the tokens that can be compared.
        new, old: what the sides are called in sentences.
    """

    def __init__(
        self, panel: Panel, new: str, old: str, dtype_old: torch.dtype | str | None = None, decimals: int | None = None
    ):
        self.panel, self.new, self.old = panel, new, old
        self.dtype_old, self.decimals = dtype_old, decimals
        self.tokens = Tokens(panel)
        self.noise = noise_floor(self.tokens)

    @property
    def exact(self) -> float:
        """Return the largest |d| that means nothing: two roundings of fp32, or of the decimals written."""
        return max(EXACT, 0.0 if self.decimals is None else 1.01 * 10.0**-self.decimals)

    @property
    def sigma(self) -> float:
        """Return the noise to test against; where no repeats show it, no more than is ordinary."""
        sigma = self.noise.sigma or 0.0
        return max(sigma if self.noise.source == "repeats" else min(sigma, ORDINARY_NOISE), SMALLEST_SIGMA)

    @cached_property
    def grain(self) -> float:
        """Return the noise with what rounding to 16 bits adds to it, which repeats do not show."""
        if self.storage is None:
            return self.sigma
        rounding = (self.storage.half_step / self.tokens.scale).square().mean() / 3
        return math.sqrt(self.sigma**2 + float(rounding))

    @cached_property
    def family(self) -> Siblings | None:
        """Return the siblings."""
        return siblings(self.tokens.cells)

    @cached_property
    def drawn(self) -> Drawn:
        """Return which side drew the tokens."""
        return drawn(self.tokens, self.sigma)

    @cached_property
    def storage(self) -> Storage | None:
        """Return which side is rounded to 16 bits."""
        return storage(self.tokens, self.dtype_old, self.decimals)
