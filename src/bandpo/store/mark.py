"""The mark by which a folder is ours: bandpo.json, which holds a schema version and the run's own random id.

A folder without it is nobody's to write in, however much its files look like a run's. Only what carries the mark is
resumed or moved aside, and only checkpoints whose manifest has the same id are resumed from or removed.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from bandpo.files.durable import write_file
from bandpo.store.machine import package_version
from bandpo.store.records import parse_object, to_json

MARK = "bandpo.json"
_SCHEMA = 1


def write_mark(folder: Path) -> str:
    """Make a folder ours and return the run's id.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> read_mark(folder) is None, write_mark(folder) == read_mark(folder)
    (True, True)
    """
    run = uuid.uuid4().hex
    mark = {"schema": _SCHEMA, "written_by": f"bandpo {package_version('bandpo')}", "run": run}
    write_file(folder / MARK, to_json(mark, indent=2) + "\n")
    return run


def read_mark(folder: Path) -> str | None:
    """Return the id of the run in a folder, None where the folder has no mark.

    Raises:
        ValueError: the mark is damaged, or of a schema that this version does not know.
    """
    path = folder / MARK
    if not path.is_file():
        return None
    way_on = "choose another folder, or move this one away"
    try:
        mark = parse_object(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {way_on}") from None
    schema, run = mark.get("schema"), mark.get("run")
    if schema != _SCHEMA:
        raise ValueError(f"{path}: schema {schema!r}, expected {_SCHEMA}: {way_on}")
    if not isinstance(run, str) or not run:
        raise ValueError(f"{path} is damaged (run={run!r}): {way_on}")
    return run
