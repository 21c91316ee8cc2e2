"""Where a run ran: machine and package versions, for the record and for bug reports."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("bandpo", "torch", "trl", "transformers", "accelerate", "datasets", "tokenizers", "numpy")


def environment() -> dict[str, Any]:
    """Return machine and package versions; a package that is not installed has the version None.

    >>> environment()["packages"]["torch"] == torch.__version__
    True
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: package_version(name) for name in _PACKAGES},
    }


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None where it is not installed.

    >>> package_version("no-such-package") is None
    True
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None
