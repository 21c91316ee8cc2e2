"""Names of a package that need its engine: imported when they are asked for (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def lazy(package: str, **modules: tuple[str, ...]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose names come from modules in it, each imported at its first use.

    So the package can be imported without its engine, and with it the check that says what is missing.

    Args:
        package: its dotted name.
        **modules: module in the package -> the names it has.

    Raises:
        AttributeError: when asked for a name that no module has.

    >>> lazy("bandpo.engines.common", names=("hint",))("hint")("methd", ["method"])
    ", did you mean 'method'?"
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return __getattr__
