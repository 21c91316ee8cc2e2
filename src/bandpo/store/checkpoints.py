"""Checkpoints that are whole: a manifest with every file's size and SHA-256, written last, and checked before use.

A checkpoint without manifest, or that differs from it in a byte, is passed over: it was cut short, or damaged later.
The manifest holds the run's id and the step, so that a folder copied from elsewhere or renamed is no checkpoint of
this run, and the SHA-256 of its own contents.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bandpo.files.durable import PARTIAL, sync, sync_tree, write_file
from bandpo.store.records import parse_object, to_json

MANIFEST = "manifest.json"
_SCHEMA = 1
_NAME = re.compile(r"checkpoint-(0|[1-9][0-9]*)")
_BLOCK = 1 << 24


def step_of(checkpoint: Path) -> int | None:
    """Return the step that a checkpoint's name says, None where it is no step's.

    >>> step_of(Path("run/checkpoint-400")), step_of(Path("run/checkpoint-best"))
    (400, None)
    """
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else None


def seal(checkpoint: Path, run: str, processes: int) -> None:
    """Flush a checkpoint's files to the disk and write its manifest.

    Args:
        checkpoint: folder named checkpoint-STEP, with all its files written.
        run: id of the run.
        processes: that trained and wrote it.

    Raises:
        OSError: the disk is full or failed, or the folder is gone.

    >>> import tempfile
    >>> checkpoint = Path(tempfile.mkdtemp()) / "checkpoint-5"; checkpoint.mkdir()
    >>> _ = (checkpoint / "weights").write_bytes(b"whole")
    >>> seal(checkpoint, run="a", processes=1); read_manifest(checkpoint)["step"]
    5
    """
    sync_tree(checkpoint)
    names = sorted(path.relative_to(checkpoint).as_posix() for path in checkpoint.rglob("*") if path.is_file())
    names = [name for name in names if name not in (MANIFEST, MANIFEST + PARTIAL)]
    with ThreadPoolExecutor() as threads:
        hashes = threads.map(lambda name: _sha256(checkpoint / name), names)
        files = {
            name: {"bytes": (checkpoint / name).stat().st_size, "sha256": value}
            for name, value in zip(names, hashes, strict=True)
        }
    contents = {"schema": _SCHEMA, "run": run, "step": step_of(checkpoint), "processes": processes, "files": files}
    write_file(checkpoint / MANIFEST, to_json({**contents, "sha256": _own_hash(contents)}, indent=1) + "\n")
    sync(checkpoint.parent)


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """Return a checkpoint's manifest: schema, run, step, processes, and for each file its bytes and sha256.

    Raises:
        ValueError: none, damaged, or of a schema that this version does not know.
    """
    try:
        contents = parse_object((checkpoint / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{MANIFEST} is missing: it was cut short while being written") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{MANIFEST} is damaged ({error})") from None
    own_hash = contents.pop("sha256", None)
    if own_hash != _own_hash(contents):
        raise ValueError(f"{MANIFEST} is damaged (its checksum differs)")
    if contents.get("schema") != _SCHEMA:
        raise ValueError(f"{MANIFEST} has schema {contents.get('schema')!r}, expected {_SCHEMA}")
    return contents


def fault(checkpoint: Path, run: str) -> str | None:
    """Return why nothing may resume from a checkpoint, None where it is whole and of this run.

    Args:
        checkpoint: folder named checkpoint-STEP.
        run: id of the run.

    >>> fault(Path("nowhere/checkpoint-5"), "a")
    'manifest.json is missing: it was cut short while being written'
    """
    try:
        manifest = read_manifest(checkpoint)
    except ValueError as error:
        return str(error)
    if manifest["run"] != run:
        return "it belongs to another run"
    if manifest["step"] != step_of(checkpoint):
        return f"it was written at step {manifest['step']}"
    files: Mapping[str, Any] = manifest["files"]
    for name, entry in files.items():
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
        size = (checkpoint / name).stat().st_size
        if size != entry["bytes"]:
            return f"{name} has {size} bytes of {entry['bytes']}"
    with ThreadPoolExecutor() as threads:
        faults = threads.map(lambda name: _checksum_fault(checkpoint, name, files[name]["sha256"]), files)
        return next(filter(None, faults), None)


def _checksum_fault(checkpoint: Path, name: str, expected: str) -> str | None:
    try:
        return None if _sha256(checkpoint / name) == expected else f"{name} is damaged (its checksum differs)"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"


def newest_whole(folder: Path, run: str) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that is whole, if any, and a line on each that was passed over, newest first.

    Args:
        folder: of the run.
        run: its id.
    """
    folders = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
    passed_over = [f"{path.name} is ignored: expected checkpoint-STEP" for path in folders if step_of(path) is None]
    numbered = sorted((step, path) for path in folders if (step := step_of(path)) is not None)
    for _, path in reversed(numbered):
        reason = fault(path, run)
        if reason is None:
            return path, passed_over
        passed_over.append(f"{path.name} is passed over: {reason}")
    return None, passed_over


def remove_oldest(folder: Path, run: str, step: int, keep: int) -> None:
    """Remove all but the newest checkpoints of a run up to a step; what has no manifest of the run is left alone.

    Args:
        folder: of the run.
        run: its id.
        step: of the newest checkpoint.
        keep: how many stay.
    """
    ours = sorted((at, path) for path in folder.glob("checkpoint-*") if (at := _own_step(path, run)) is not None)
    for _, path in [entry for entry in ours if entry[0] <= step][:-keep]:
        # The manifest goes last: what a kill leaves is known as ours the next time.
        for inside in path.iterdir():
            if inside.name != MANIFEST:
                shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
        shutil.rmtree(path)


def _own_step(checkpoint: Path, run: str) -> int | None:
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        return None
    try:
        manifest = read_manifest(checkpoint)
    except ValueError:
        return None
    return step_of(checkpoint) if manifest["run"] == run and manifest["step"] == step_of(checkpoint) else None


def _own_hash(contents: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_json(contents).encode()).hexdigest()


def _sha256(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total.update(block)
    return total.hexdigest()
