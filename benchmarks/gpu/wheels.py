"""Packages carried in a folder of wheels, for a machine without a network: unpacked beside what it has."""

from __future__ import annotations

import platform
import zipfile
from pathlib import Path

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename


def unpack(folder: Path, site: Path) -> None:
    """Unpack every wheel of a folder; wheels are archives of what lies on the module path.

    Raises:
        ValueError: no folder, no wheel in it, or one for another Python or machine.
    """
    found = sorted(folder.glob("*.whl"))
    if not found:
        raise ValueError(f"--wheels {folder}: expected a folder of wheels, which `make gpu-wheels` fills")
    fitting = set(sys_tags())
    for wheel in found:
        if parse_wheel_filename(wheel.name)[3].isdisjoint(fitting):
            python = ".".join(platform.python_version_tuple()[:2])
            wanted = f"expected those of `make gpu-wheels GPU_PYTHON={python}`"
            raise ValueError(f"--wheels: {wheel.name} is for another Python or machine: {wanted}")
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
