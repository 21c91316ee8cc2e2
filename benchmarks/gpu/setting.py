"""What a part is told: the device, whether the size is that of a dry run, and a folder to work in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """What a part runs with.

    Attributes:
        device: "cuda", or "cpu" for a dry run.
        is_small: sizes at which every line runs and no number means anything.
        place: a folder that is removed afterwards.
    """

    device: str
    is_small: bool
    place: Path
