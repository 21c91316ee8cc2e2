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
    region, *others = found.verdict
    unread = [Finding("warn", failure.error) for failure in found.failures]
    aligned = [_alignment(each) for each in found.alignments]
    said = {each.sentence for each in found.alignments}
    return [Finding(_level(found), region), *aligned, *(Finding("ok", s) for s in others if s not in said), *unread]


def _level(found: Inspection) -> str:
    """Return "fail" where no ratio can leave 1, "warn" where the region stopped nothing."""
    if found.total.dropped:
        return "ok"
    return "fail" if found.total.tokens and found.largest_move == 0 else "warn"


def _alignment(found: Alignment) -> Finding:
    level = "ok" if found.is_aligned else "fail" if found.confidence.word == "sure" else "warn"
    return Finding(level, found.sentence)
