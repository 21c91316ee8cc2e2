"""CFPO, and SPO by the same formula: a quadratic penalty on r - 1."""

from __future__ import annotations

import math

from bandpo.core.checks import check_number
from bandpo.core.methods.quadratic import quadratic
from bandpo.core.methods.registry import register_method as method
from bandpo.core.tokens import Surrogate, Tokens, free_log_ratio


@method(
    "cfpo",
    family="gate",
    formula="-A r + |A| (r - 1)²/(2 ε)",
    citation="CFPO, arXiv 2601.22801, eq. 7; SPO, arXiv 2401.16025",
)
def cfpo(tokens: Tokens, *, eps: float = 0.2) -> Surrogate:
    """Put a quadratic penalty on r - 1 in place of the clip; the same formula as SPO.

    The loss is least at r = 1 + ε sign(A). CFPO reaches SPO's formula from a bound on total variation. A token beyond
    e^±20 is pulled back as one that is there.

    Args:
        tokens: the batch.
        eps: ε, PPO's own clip range.
    """
    stiffness = 1 / check_number("eps", eps, 0.0, math.inf, low_open=True)
    return quadratic(free_log_ratio(tokens), tokens.advantages, stiffness)
