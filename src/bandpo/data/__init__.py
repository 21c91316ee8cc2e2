"""Floor 3, data: mathematics from the Hub or local files in one schema, for training and evaluation."""

from bandpo.data.catalogue import DATASETS, MathData
from bandpo.data.loading import load
from bandpo.data.templates import TEMPLATES

__all__ = ["DATASETS", "TEMPLATES", "MathData", "load"]
