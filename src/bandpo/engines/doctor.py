"""Whether a trust region will act in an engine under given options.

Every folder beside this file but `common` is an engine; its `check.check(options)` answers with findings.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import bandpo.engines
from bandpo.engines.common.findings import Finding
from bandpo.engines.common.options import Options


def engines() -> list[str]:
    """Return the names of the engines.

    >>> "trl" in engines()
    True
    """
    modules = pkgutil.iter_modules(bandpo.engines.__path__)
    return sorted(module.name for module in modules if module.ispkg and module.name != "common")


def diagnose(engine: str, options: Options) -> list[Finding]:
    """Return what the engine's check says about these options.

    Raises:
        ValueError: no such engine.

    >>> [finding.level for finding in diagnose("trl", {"num_iterations": 1})][-1]
    'fail'
    """
    if engine not in engines():
        raise ValueError(f"no engine {engine!r}: expected one of {', '.join(engines())}")
    return find_check(engine)(options)


def find_check(engine: str) -> Callable[[Options], list[Finding]]:
    """Return the engine's `check`."""
    return importlib.import_module(f"bandpo.engines.{engine}.check").check
