"""The marker that says what of an engine a test ran, written into pytest's report for the harness to count."""

import pytest
from environments import LEVELS

# Not searched for doctests: what an engine's processes import, and nobody without that engine.
collect_ignore = ["nemo_rl/nemo_rl_actors.py", "trinity_rft/trinity_rft_cpu.py"]


def pytest_configure(config):
    config.addinivalue_line(
        "markers", f"exercises(level, version=None): what of the engine runs, one of {', '.join(LEVELS)}; see README.md"
    )


def pytest_collection_modifyitems(items):
    for item in items:
        marker = item.get_closest_marker("exercises")
        if marker is None:
            continue
        if len(marker.args) != 1 or marker.args[0] not in LEVELS or marker.kwargs.keys() - {"version"}:
            raise pytest.UsageError(f"{item.nodeid}: exercises{marker.args}: expected one of {', '.join(LEVELS)}")
        item.user_properties.append(("exercises", marker.args[0]))
        if "version" in marker.kwargs:
            item.user_properties.append(("version", marker.kwargs["version"]))
