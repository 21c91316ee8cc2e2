"""What the paths of a report are: folders of runs, folders of comparisons, recorded batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bandpo.microscope.errors import BatchError
from bandpo.microscope.reading.folders import files_of
from bandpo.microscope.reading.look import SUFFIXES, Look
from bandpo.microscope.reading.read import find_format
from bandpo.store.folder import METRICS
from bandpo.store.mark import MARK
from bandpo.store.reading import CONFIG, RESULT
from bandpo.views.report.text import line

RUN, COMPARISON, BATCHES = "run", "comparison", "batches"
RESULTS, SEEDS = "results.json", "*/seed-*"
MOST = 8


@dataclass(frozen=True)
class Source:
    """One path: what it is, and what the page calls it."""

    kind: str
    path: Path
    name: str


def find_sources(paths: Iterable[str | Path]) -> list[Source]:
    """Return what every path is; one that is given twice counts once.

    Raises:
        ValueError: no such path, one that holds nothing a report can show, or too many of them.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "band-kl"; folder.mkdir()
    >>> _ = (folder / "config.yaml").write_text("method: band-kl")
    >>> [(source.kind, source.name) for source in find_sources([folder])]
    [('run', 'band-kl')]
    """
    given = list({_resolved(path): Path(path) for path in paths}.values())
    if not given:
        raise ValueError("no paths: expected folders of runs or comparisons, or recorded batches")
    kinds = [_kind(path) for path in given]
    if sum(kind != COMPARISON for kind in kinds) > MOST:
        raise ValueError(f"{len(given)} runs and batches: expected {MOST} at most; a comparison's folder may hold more")
    return [Source(kind, path, name) for kind, path, name in zip(kinds, given, names(given), strict=True)]


def _resolved(path: str | Path) -> Path:
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{line(path)}: {line(error)}") from None


def _kind(path: Path) -> str:
    try:
        if path.is_dir():
            return _kind_of_folder(path)
        if not path.exists():
            raise ValueError(f"{line(path)}: no such file or folder")
    except OSError as error:
        raise ValueError(f"{line(path)}: {error.strerror}") from None
    if path.suffix not in SUFFIXES:
        try:
            find_format(Look(path))
        except BatchError as error:
            raise ValueError(f"{error}; a report is made of folders of runs or comparisons, or of such files") from None
    return BATCHES


def _kind_of_folder(path: Path) -> str:
    if any((path / name).is_file() for name in (MARK, CONFIG, RESULT, METRICS)):
        return RUN
    if (path / RESULTS).is_file() or any(each.is_dir() for each in path.glob(SEEDS)):
        return COMPARISON
    try:
        files_of(path)
    except BatchError:
        raise ValueError(
            f"{line(path)} holds no run ({CONFIG}), no comparison ({RESULTS}) and no recorded batches"
        ) from None
    return BATCHES


def names(paths: Sequence[Path]) -> list[str]:
    """Return what to call each path: its last parts, as many as tell it from the others.

    >>> names([Path("a/x/seed-0"), Path("a/y/seed-0"), Path("b")])
    ['x/seed-0', 'y/seed-0', 'b']
    """
    parts = [path.absolute().parts for path in paths]
    depth = [1] * len(parts)
    for _ in range(max(map(len, parts))):
        called = [each[-n:] for each, n in zip(parts, depth, strict=True)]
        for at, each in enumerate(called):
            depth[at] += called.count(each) > 1 and depth[at] < len(parts[at])
    return [line("/".join(each[-n:])) for each, n in zip(parts, depth, strict=True)]
