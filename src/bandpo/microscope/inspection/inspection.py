"""What an inspection found, for people, for JSON and for the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bandpo.microscope.alignment.verdict import Alignment
from bandpo.microscope.inspection.comparison import Compared
from bandpo.microscope.inspection.noise import Noise
from bandpo.microscope.inspection.shares import Share
from bandpo.microscope.inspection.stopped import Excerpt, TokenKind


@dataclass
class FileFacts:
    """One file that was read: whose format, how much was in it, and what it lacks."""

    path: str
    format: str
    tokens: int = 0
    sequences: int = 0
    steps: list[int] = field(default_factory=list)
    first_uses: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Failure:
    """One file that could not be read, and why."""

    path: str
    error: str


@dataclass(frozen=True)
class RadiusCurve:
    """The one radius of the method: what stops which share of the tokens.

    Attributes:
        measure: what moves are measured in, a divergence, "kl3" or "clip".
        names: the options that take the radius.
        points: (radius, share of tokens stopped).
        for_shares: share -> radius that stops it.
        for_divergences: mean divergence per token -> radius that holds a step to it.
        advised: the option line for the share that was asked for, "" where tokens did not move so far.
    """

    measure: str
    names: tuple[str, ...]
    points: list[tuple[float, float]]
    for_shares: dict[str, float]
    for_divergences: dict[str, float]
    advised: str


@dataclass(frozen=True)
class Inspection:
    """What was found in recorded batches.

    Attributes:
        verdict: the answer in sentences, the most important first.
        method: the method looked at, as `--methods` takes it.
        files, failures: what was read, and what could not be.
        total: all tokens that the method could be applied to.
        shares: by axis ("probability", "position", "entropy", "side") its buckets.
        mean_move, largest_move, unmoved: of |log r| over all tokens; the share whose ratio is exactly 1.
        noise: by probability, of first uses.
        alignments: of the trainer with its old policy, and of the trainer with the sampler.
        radii: of the method, None where it has not one radius.
        methods: every method on the same tokens.
        sampled: how many tokens `alignments`, `methods`, `kinds` and `excerpts` come from.
        kinds, excerpts: the most stopped tokens and sequences.
        closed: questions that the files leave without an answer.
    """

    verdict: list[str]
    method: str
    files: list[FileFacts]
    failures: list[Failure]
    total: Share
    shares: dict[str, list[Share]]
    mean_move: float
    largest_move: float
    unmoved: float
    noise: list[Noise]
    alignments: list[Alignment]
    radii: RadiusCurve | None
    methods: list[Compared]
    sampled: int
    kinds: list[TokenKind]
    excerpts: list[Excerpt]
    closed: list[str]

    @property
    def tokens(self) -> int:
        """Return how many tokens were read."""
        return sum(file.tokens for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"schema": "bandpo inspection", "version": 1, **asdict(self)}
