"""What recorded batches say of a training run, as the doctor says it."""

from __future__ import annotations

from collections.abc import Sequence

from bandpo.engines.common.findings import Finding
from bandpo.microscope.alignment.verdict import Alignment
from bandpo.microscope.inspection.inspect import inspect
from bandpo.microscope.inspection.inspection import Inspection


def batch_findings(paths: Sequence[str]) -> list[Finding]:
    """Return whether the region acted on recorded batches, and whether their log-probs agree.

    Args:
        paths: as `bandpo.inspect` takes them.

    Raises:
        ValueError: none of them can be read.
    """
    found = inspect(paths)
    unread = [Finding("warn", failure.error) for failure in found.failures]
    region, *others = found.verdict
    count = len(found.alignments)
    aligned = [_alignment(*each) for each in zip(others[:count], found.alignments, strict=True)]
    return [Finding(_level(found), region), *aligned, *(Finding("ok", rest) for rest in others[count:]), *unread]


def _level(found: Inspection) -> str:
    """Return "fail" where no ratio can leave 1, "warn" where the region stopped nothing."""
    if found.total.dropped:
        return "ok"
    return "fail" if found.total.tokens and found.largest_move == 0 else "warn"


def _alignment(sentence: str, found: Alignment) -> Finding:
    level = "ok" if found.is_aligned else "fail" if found.confidence.word == "sure" else "warn"
    return Finding(level, sentence)
