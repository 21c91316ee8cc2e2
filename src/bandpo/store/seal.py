"""The seal of a finished run: size and SHA-256 of its files, so that a result is never built on a damaged one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bandpo.store.records import parse_object, to_json

SEAL = "finished.json"


def sealed(files: Mapping[str, bytes]) -> str:
    """Return the text of the seal over these contents.

    >>> sealed({"metrics.jsonl": b"{}"})[:40]
    '{"files": {"metrics.jsonl": {"bytes": 2,'
    """
    return to_json({"files": {name: _entry(content) for name, content in files.items()}}) + "\n"


def broken(folder: Path) -> str | None:
    """Return which file of a finished run is not as it was when the run ended, as a phrase; None where all are.

    Args:
        folder: of the run. One without a seal, of an older release, has nothing to be compared with.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()); _ = (place / "metrics.jsonl").write_bytes(b"{}")
    >>> _ = (place / SEAL).write_text(sealed({"metrics.jsonl": b"{}"}))
    >>> broken(place) is None
    True
    >>> _ = (place / "metrics.jsonl").write_bytes(b"[]"); broken(place)
    'metrics.jsonl is damaged'
    """
    path = folder / SEAL
    if not path.exists():
        return None
    try:
        entries = {Path(name).name: entry for name, entry in parse_object(path.read_bytes())["files"].items()}
    except (OSError, ValueError, KeyError, AttributeError):
        return f"{SEAL} is damaged"
    for name, entry in entries.items():
        try:
            if _entry((folder / name).read_bytes()) != entry:
                return f"{name} is damaged"
        except OSError:
            return f"{name} is missing"
    return None


def _entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
