"""Registers the loss as soon as verl has a registry, which is in a module that takes seconds to import.

verl's entry point `verl.plugins` imports this package at every `import verl`, long before anybody needs that module.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder

REGISTRY = "verl.trainer.ppo.core_algos"


def install() -> None:
    """Register the loss now if verl's registry is there, else right after somebody imports it.

    Raises:
        ImportError, RuntimeError: as the adapter, where the registry is there; later a failure is a warning, because
            it would break an import of verl's own.
    """
    if REGISTRY in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterRegistry) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterRegistry())


def _register() -> None:
    import bandpo.engines.verl.adapter  # noqa: F401


class _AfterRegistry(MetaPathFinder, Loader):
    """A finder before Python's own, until the registry's module is imported; it registers the loss after it."""

    loader: Loader | None = None

    def find_spec(self, fullname, path, target=None):
        if fullname != REGISTRY or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None:
            self.loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.loader.create_module(spec) if self.loader else None

    def exec_module(self, module):
        assert self.loader is not None and module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        try:
            _register()
        except Exception as error:
            warnings.warn(f"verl will not know policy_loss.loss_mode=bandpo: {error}", RuntimeWarning, stacklevel=2)
