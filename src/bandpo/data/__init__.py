"""Floor 3, data: mathematics from the Hub or local files in one schema, for training and evaluation."""

from bandpo.data.catalogue import DATASETS, MathData
from bandpo.data.duplicates import Duplicate, duplicates
from bandpo.data.loading import load
from bandpo.data.preparing import Report, prepare
from bandpo.data.templates import TEMPLATES

__all__ = ["DATASETS", "TEMPLATES", "Duplicate", "MathData", "Report", "duplicates", "load", "prepare"]
