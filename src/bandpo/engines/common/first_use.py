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

# Tokens of first uses that are gathered before anything is said, and that suffice where the error is large.
_MOST, _SOME, _LARGE = 4096, 1000, 1e-3


class FirstUseCheck:
    """Says once, early in a run, why old and new log-probs differ where they must not, and if 16 bits are too few.

    Args:
        objective: the method, whose radius the rounding is compared with.
        is_silent: for processes other than the main one.
    """

    def __init__(self, objective: Objective, is_silent: bool):
        self._objective, self._gathered = objective, FirstUse(_MOST)
        self._is_done, self._said_rounding = is_silent, is_silent

    @torch.no_grad()
    def look(self, logp: Tensor, logp_old: Tensor, mask: Tensor, **known: Tensor | None) -> None:
        """Gather the tokens of a first use, (B, T); warn when there are enough of them.

        Args:
            logp, logp_old, mask: of the micro-batch.
            **known: token_ids, groups and entropy, as far as the engine has them; see `FirstUse.add`.
        """
        if not self._said_rounding and logp_old.dtype in ROUNDED:
            self._said_rounding = True
            _warn(self._on_rounding(logp_old, mask))
        if self._is_done:
            return
        self._gathered.add(logp, logp_old, mask, **known)
        tokens = self._gathered.tokens
        error = (logp - logp_old)[mask].abs().mean().item() if tokens >= _SOME else 0.0
        if tokens >= _MOST or error > _LARGE:
            self._is_done = True
            sentence = self._gathered.warning()
            if sentence is not None:
                _warn(f"At the first use of a batch every ratio must be 1, and it is not. {sentence}")

    def _on_rounding(self, logp_old: Tensor, mask: Tensor) -> str:
        """Say what the rounding of old log-probs does: of a band's width, or of any region's ratios."""
        divergence, delta = self._objective.method.name.removeprefix("band-"), self._objective.options.get("delta")
        if divergence in divergences() and isinstance(delta, float):
            return rounding_share(logp_old, delta=delta, divergence=divergence, mask=mask).sentence
        return ROUNDED[logp_old.dtype]


def _warn(sentence: str) -> None:
    warnings.warn(FindingWarning(Finding("warn", sentence)), stacklevel=2)
