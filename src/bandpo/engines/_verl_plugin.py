"""What verl's entry point `verl.plugins` loads at every `import verl`: registers the loss once verl has a registry.

verl's registry is in a module that takes seconds to import, so this one waits until somebody imports it. verl logs an
exception of a plugin where nobody sees it, so a failure here is a warning.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder

REGISTRY = "verl.trainer.ppo.core_algos"


def register() -> None:
    """Register the loss; a warning says why if that fails."""
    try:
        import bandpo.engines.verl  # noqa: F401
    except Exception as error:
        warnings.warn(f"verl will not know policy_loss.loss_mode=bandpo: {error}", RuntimeWarning, stacklevel=2)


class _AfterRegistry(MetaPathFinder, Loader):
    """Stands before Python's finders until the registry's module is imported, and calls `register` after it."""

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
        register()


if REGISTRY in sys.modules:
    register()
else:
    sys.meta_path.insert(0, _AfterRegistry())
