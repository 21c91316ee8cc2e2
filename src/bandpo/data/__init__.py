"""Mathematics from the Hub or local files in one schema, for training and evaluation.

Its list of data sets needs no package; what reads them imports `datasets` when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bandpo.data.catalogue import DATASETS, MathData
from bandpo.data.templates import TEMPLATES

if TYPE_CHECKING:
    from bandpo.data.duplicates import Duplicate, duplicates
    from bandpo.data.loading import load
    from bandpo.data.preparing import Report, prepare

__all__ = ["DATASETS", "TEMPLATES", "Duplicate", "MathData", "Report", "duplicates", "load", "prepare"]

_MODULES = {"Duplicate": "duplicates", "duplicates": "duplicates", "load": "loading", "Report": "preparing"}
_MODULES["prepare"] = "preparing"


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'bandpo.data' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"bandpo.data.{_MODULES[name]}"), name)
    return value
