"""What goes around a method, as the numbers a kernel takes: the sampler's weight and the KL to a reference."""

from __future__ import annotations

import math
from typing import NamedTuple, get_type_hints

from bandpo.core.checks import check_number
from bandpo.core.objective.reference_kl import ESTIMATORS

K1, K2, K3 = (1 + ESTIMATORS.index(name) for name in ("k1", "k2", "k3"))


class PackedTerms(NamedTuple):
    """The terms of a loss besides the method's, as numbers.

    Attributes:
        estimator: of the reference KL, K1, K2 or K3; 0 for no such term.
        log_importance_cap: log of the largest weight that corrects for the sampler; inf for no such weight.
        beta: weight of the reference KL.
        kl_cap: largest size of its estimate, inf for no cap.
    """

    estimator: int = 0
    log_importance_cap: float = math.inf
    beta: float = 0.0
    kl_cap: float = math.inf


NO_TERMS = PackedTerms()
TERMS_SCHEMA = ", ".join(f"{kind.__name__} {name}" for name, kind in get_type_hints(PackedTerms).items())
"""The numbers of the terms among the arguments of a torch operator."""


def packed_terms(importance_cap: float | None, beta: float, kl_estimator: str, kl_cap: float | None) -> PackedTerms:
    """Return the numbers of the options of `policy_loss`; those of the reference KL have been checked.

    Raises:
        TypeError, ValueError: importance_cap is no number above 0.

    >>> packed_terms(2.0, 0.1, "k3", None)
    PackedTerms(estimator=3, log_importance_cap=0.6931471805599453, beta=0.1, kl_cap=inf)
    """
    if importance_cap is None and not beta:
        return NO_TERMS
    log_cap = math.inf if importance_cap is None else log_importance_cap(importance_cap)
    return PackedTerms(1 + ESTIMATORS.index(kl_estimator) if beta else 0, log_cap, beta, kl_cap or math.inf)


def log_importance_cap(cap: object) -> float:
    """Return the log of the largest weight that corrects for the sampler.

    Raises:
        TypeError, ValueError: no finite number above 0.
    """
    return math.log(check_number("importance_cap", cap, 0.0, math.inf, low_open=True))
