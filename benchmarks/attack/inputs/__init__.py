"""Bad configurations, rows, rewards, names, options and arguments, kind by kind."""

from __future__ import annotations

from benchmarks.attack.case import Case
from benchmarks.attack.inputs import arguments, batches, engines, folders, names, rewards, rows, values, yaml_files


def all_cases() -> list[Case]:
    """Every case; no two have the same name."""
    cases: list[Case] = []
    for module in (yaml_files, values, rows, rewards, names, folders, arguments, batches, engines):
        cases += module.cases()
    return cases
