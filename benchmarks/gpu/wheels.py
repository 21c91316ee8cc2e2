"""Packages carried in a folder of wheels, for a machine without a network: unpacked beside what it has."""

from __future__ import annotations

import zipfile
from pathlib import Path


def unpack(folder: Path, site: Path) -> None:
    """Unpack every wheel of a folder; wheels are archives of what lies on the module path.

    Raises:
        ValueError: no folder, or no wheel in it.
    """
    found = sorted(folder.glob("*.whl"))
    if not found:
        raise ValueError(f"--wheels {folder}: expected a folder of wheels, which `make gpu-wheels` fills")
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
