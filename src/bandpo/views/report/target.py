"""Where a report is written: a page of ours may be replaced, nothing else."""

from __future__ import annotations

from pathlib import Path

from bandpo.views.report.text import line

MARK = '<meta name="generator" content="bandpo report">'


def check_target(path: str | Path) -> Path:
    """Return the file to write the page to.

    Raises:
        ValueError: it does not end in .html, its folder is not there, or another file or a folder is in its place.

    >>> check_target("report.html").name
    'report.html'
    """
    path = Path(path)
    here = f"out={line(path)!r}"
    if path.suffix not in (".html", ".htm"):
        raise ValueError(f"{here}: expected a file ending in .html")
    try:
        if not path.parent.is_dir():
            raise ValueError(f"{here}: no folder {line(path.parent)!r}")
        if path.is_dir():
            raise ValueError(f"{here} is a folder: expected a file")
        if path.exists() and not _is_ours(path):
            raise ValueError(f"{here} is there and no report of ours: choose another name, or remove it first")
    except OSError as error:
        raise ValueError(f"{here}: {error.strerror}") from None
    return path


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(1024)
    return not start or MARK.encode() in start
