"""Why do the log-probs of one policy, taken twice, differ? Causes are named from the batch alone."""

from bandpo.microscope.alignment.causes import CAUSES, Cause
from bandpo.microscope.alignment.diagnosis import diagnose
from bandpo.microscope.alignment.first_ratio import FirstUse, first_ratio_metrics
from bandpo.microscope.alignment.rounding import RoundingShare, rounding_share
from bandpo.microscope.alignment.verdict import Alignment, Confidence, Error, Noise

__all__ = [
    "CAUSES",
    "Alignment",
    "Cause",
    "Confidence",
    "Error",
    "FirstUse",
    "Noise",
    "RoundingShare",
    "diagnose",
    "first_ratio_metrics",
    "rounding_share",
]
