"""The check of a run's first uses: there old and new log-probs must be equal, whatever the method."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from bandpo.core.divergences.registry import divergences
from bandpo.core.objective.inputs import ROUNDED
from bandpo.engines.common.findings import Finding, FindingWarning
from bandpo.engines.common.objective import Objective
from bandpo.microscope.alignment.first_ratio import FirstUse
from bandpo.microscope.alignment.rounding import rounding_share

# Tokens of first uses that are gathered before anything is said; fewer suffice where the error is large.
_MOST, _SOME, _LARGE = 4096, 1000, 1e-3


class FirstUseCheck:
    """Says once, early in a run, why old and new log-probs differ where they must not, and if 16 bits are too few.

    Args:
        objective: the method, whose radius the rounding is compared with.
        is_silent: for processes other than the main one.
        which: what the two sides are called, "NEW and OLD".
    """

    def __init__(self, objective: Objective, is_silent: bool, which: str = "trainer and old policy"):
        self._objective, self._gathered = objective, FirstUse(_MOST, which)
        self._is_done, self._said_rounding = is_silent, is_silent

    @property
    def is_done(self) -> bool:
        """Return whether nothing more is gathered."""
        return self._is_done

    def look(self, logp: Tensor, logp_old: Tensor, mask: Tensor, **known: Tensor | None) -> None:
        """Gather the tokens of a first use, (B, T); warn when there are enough of them.

        Args:
            logp, logp_old, mask: of the micro-batch.
            **known: token_ids, groups and entropy, as far as the engine has them; see `FirstUse.add`.
        """
        self.look_at_rounding(logp_old, mask)
        self.gather(logp, logp_old, mask, **known)
        self.judge(_SOME)

    def look_at_rounding(self, logp_old: Tensor, mask: Tensor) -> None:
        """Warn, once, of old log-probs in 16 bits; first use or not."""
        if not self._said_rounding and logp_old.dtype in ROUNDED and mask.any():
            self._said_rounding = True
            _warn(self._on_rounding(logp_old, mask))

    def gather(self, logp: Tensor, logp_old: Tensor, mask: Tensor, **known: Tensor | None) -> None:
        """Copy tokens of a first use to the CPU until there are enough; from then on nothing is looked at."""
        if not self._is_done:
            self._gathered.add(logp, logp_old, mask, **known)

    def judge(self, least: int) -> None:
        """Warn, once, of what is wrong with the tokens gathered so far, where there are enough.

        Args:
            least: tokens that are enough where they are far off.
        """
        gathered = self._gathered
        if self._is_done or gathered.tokens < least:
            return
        if gathered.tokens >= _MOST or gathered.error > _LARGE:
            self._is_done = True
            sentence = gathered.warning()
            if sentence is not None:
                _warn(f"At the first use of a batch every ratio must be 1, and it is not. {sentence}")

    @torch.no_grad()
    def _on_rounding(self, logp_old: Tensor, mask: Tensor) -> str:
        """Say what the rounding of old log-probs does: of a band's width, or of any region's ratios."""
        divergence, delta = self._objective.method.name.removeprefix("band-"), self._objective.options.get("delta")
        if divergence in divergences() and isinstance(delta, float):
            return rounding_share(logp_old, delta=delta, divergence=divergence, mask=mask).sentence
        return ROUNDED[logp_old.dtype]


def _warn(sentence: str) -> None:
    warnings.warn(FindingWarning(Finding("warn", sentence)), stacklevel=2)
