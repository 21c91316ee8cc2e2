"""One entry for every method, in one file a paper, as `src/bandpo/core/methods`.

A method that has none is named by `test_entries`, with what is missing; CONTRIBUTING.md says how to write one.
"""

import importlib
import pkgutil

from tests.methods.entry import Entry

ENTRIES: dict[str, Entry] = {}
FILES: dict[str, str] = {}
for found in pkgutil.iter_modules(__path__):
    if not found.name.startswith("test_"):
        for entry in vars(importlib.import_module(f"tests.methods.{found.name}")).values():
            if isinstance(entry, Entry):
                ENTRIES[entry.name], FILES[entry.name] = entry, f"tests/methods/{found.name}.py"
