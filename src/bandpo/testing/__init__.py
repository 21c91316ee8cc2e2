"""Conformance suites for what users add: run them on a divergence or a method of yours before you train with it.

>>> bandpo.testing.check_method("sapo")
>>> bandpo.testing.check_divergence("le-cam")
"""

from bandpo.testing.divergences import DELTAS, LOGPS, check_divergence
from bandpo.testing.methods import check_method

__all__ = ["DELTAS", "LOGPS", "check_divergence", "check_method"]
