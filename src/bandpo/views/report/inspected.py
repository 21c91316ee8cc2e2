"""An inspection as the page shows it: the verdict, the tokens in their text, shares, noise, radii, methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandpo.microscope.alignment.verdict import Alignment
from bandpo.microscope.inspection.inspect import inspect
from bandpo.microscope.inspection.inspection import Inspection
from bandpo.microscope.inspection.sentences import percent
from bandpo.microscope.inspection.stopped import Excerpt
from bandpo.views.report.figures import Figure
from bandpo.views.report.radius import radius_figure, radius_rows
from bandpo.views.report.text import line, paragraph, rounded, short

AXES = {"side": "By side", "probability": "By old probability", "entropy": "By entropy", "position": "By position"}
_NO_TEXT = "⟨⟩"
_TOKEN, _PROMPT, _MOST_FILES, _MOST_KINDS, _MOST_METHODS = 80, 600, 12, 20, 16


@dataclass(frozen=True)
class Token:
    """One token of an excerpt: what it reads as, what the region did to it, and whether a line ends with it.

    `did` is "stopped", "less" or "more" for a gradient that is smaller or larger, or "".
    """

    text: str
    did: str
    breaks: bool = False


@dataclass(frozen=True)
class Passage:
    """One sequence; `values` are p, ratio, advantage and kept of every token, for the page's code."""

    prompt: str
    reward: float | None
    facts: list[str]
    tokens: list[Token]
    values: list[list[float | None]]
    stopped: int
    is_cut: bool


@dataclass
class Inspected:
    """What the page shows of recorded batches; only `name` and `remarks` where nothing could be read."""

    name: str
    found: Inspection | None = None
    verdict: list[str] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    tables: list[tuple[str, list[list[Any]]]] = field(default_factory=list)
    kinds: list[list[Any]] = field(default_factory=list)
    noise: list[list[str]] = field(default_factory=list)
    methods: list[list[Any]] = field(default_factory=list)
    agreements: list[tuple[str, Alignment]] = field(default_factory=list)
    radii: Figure | None = None
    radius_rows: list[list[str]] = field(default_factory=list)
    files: list[list[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def inspected(path: Path, name: str, method: str | None, options: Mapping[str, Any] | None) -> Inspected:
    """Return what is found in a file or folder of recorded batches; a batch that cannot be read is a remark."""
    try:
        found = inspect(path, method=method, options=options)
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        return Inspected(name, remarks=[f"The recorded batches of {name} are left out: {line(error, 600)}."])
    kept = [f"A file is left out: {line(failure.error, 600)}." for failure in found.failures[:_MOST_FILES]]
    return Inspected(
        name,
        found,
        verdict=[line(sentence, 2000) for sentence in found.verdict],
        passages=[_passage(excerpt) for excerpt in found.excerpts],
        tables=[(title, rows) for axis, title in AXES.items() if (rows := _shares(found, axis))],
        kinds=_kinds(found),
        noise=_noise(found),
        methods=_methods(found),
        agreements=_agreements(found),
        radii=None if found.radii is None or not found.total.tokens else radius_figure(found.radii, found.method),
        radius_rows=radius_rows(found.radii),
        files=_files(found),
        remarks=[*kept, *(f"{line(sentence, 600)}." for sentence in found.closed[:_MOST_FILES])],
    )


def _passage(excerpt: Excerpt) -> Passage:
    tokens = [
        Token(line(text, _TOKEN) or _NO_TEXT, _did(kept), "\n" in text)
        for text, kept in zip(excerpt.texts, excerpt.kept, strict=True)
    ]
    stopped = sum(token.did == "stopped" for token in tokens)
    facts = [
        "" if excerpt.reward is None else f"reward {short(excerpt.reward)}",
        "" if excerpt.step is None else f"update {excerpt.step}",
        f"{stopped} of {len(tokens)} tokens stopped",
    ]
    columns = [rounded(each, 4) for each in (excerpt.p, excerpt.ratio, excerpt.advantage, excerpt.kept)]
    values = [list(row) for row in zip(*columns, strict=True)]
    prompt = paragraph(excerpt.prompt, _PROMPT)
    reward = None if excerpt.reward is None else rounded([excerpt.reward])[0]
    return Passage(prompt, reward, [fact for fact in facts if fact], tokens, values, stopped, excerpt.is_cut)


def _did(kept: float) -> str:
    if kept == 0:
        return "stopped"
    return "less" if kept < 0.999 else "more" if kept > 1.001 else ""


def _shares(found: Inspection, axis: str) -> list[list[Any]]:
    rows = found.shares.get(axis, [])
    # Answers rarely reach the far positions: ranges beyond the last token say nothing.
    while axis == "position" and len(rows) > 1 and not rows[-1].tokens:
        rows = rows[:-1]
    if len(rows) < 2:
        return []
    return [
        [
            line(row.label),
            f"{row.tokens:,}",
            f"{row.stopped:,}",
            row.stopped_share if row.tokens else None,
            row.dropped_share if row.mass else None,
        ]
        for row in rows
    ]


def _agreements(found: Inspection) -> list[tuple[str, Alignment]]:
    """Return every comparison of log-probs with whose they are; that with the old policy needs first uses."""
    has_first_use = any(file.first_uses for file in found.files)
    pairs = [*(["trainer and old policy, at first use"] if has_first_use else []), "trainer and sampler"]
    return list(zip(pairs, found.alignments, strict=False))


def _kinds(found: Inspection) -> list[list[Any]]:
    whole = found.total.dropped if found.sampled >= found.total.tokens else sum(kind.dropped for kind in found.kinds)
    rows = []
    for kind in found.kinds[:_MOST_KINDS]:
        share = kind.dropped / whole if whole else None
        rows.append([line(kind.text, _TOKEN) or _NO_TEXT, f"{kind.stopped:,}", f"{kind.tokens:,}", share])
    return rows


def _noise(found: Inspection) -> list[list[str]]:
    if not any(row.tokens for row in found.noise):
        return []
    return [
        [
            line(row.label),
            f"{row.tokens:,}",
            short(row.median),
            short(row.q99),
            short(row.width),
            "–" if row.share is None else percent(row.share),
        ]
        for row in found.noise
    ]


def _methods(found: Inspection) -> list[list[Any]]:
    """Return the method looked at, then the others at their own settings, then those at a matched share."""
    known = [row for row in found.methods if row.cosine is not None]
    own = [row for row in known if not row.matched and row.method == found.method]
    others = [row for row in known if not row.matched and row.method != found.method]
    matched = [row for row in known if row.matched]
    rows = [*own, *sorted(others, key=lambda row: -(row.cosine or 0))[:_MOST_METHODS], *matched[:_MOST_METHODS]]
    words = {True: "same share", False: "own settings"}
    return [
        [line(row.method), "looked at" if row in own else words[row.matched], row.stopped, row.kept, row.cosine]
        for row in rows
    ]


def _files(found: Inspection) -> list[list[str]]:
    """Return format, files, updates, sequences and tokens, one row a format."""
    rows = []
    for name in dict.fromkeys(file.format for file in found.files):
        files = [file for file in found.files if file.format == name]
        steps = sorted({step for file in files for step in file.steps})
        updates = "–" if not steps else f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0])
        sequences, tokens = sum(file.sequences for file in files), sum(file.tokens for file in files)
        rows.append([line(name), f"{len(files):,}", updates, f"{sequences:,}", f"{tokens:,}"])
    return rows
