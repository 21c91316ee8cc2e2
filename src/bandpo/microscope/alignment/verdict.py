"""What is said about two sets of log-probs: the error, the noise, the cause, how sure, and a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Error:
    """How far apart the two sides are, d = new - old in nats, over the finite tokens.

    Attributes:
        mean: of |d|.
        largest: of |d|.
        rms: root of the mean of d².
        tokens: how many were compared.
        slope: of d against the old log-prob, least squares; 0 where all old log-probs are alike.
    """

    mean: float
    largest: float
    rms: float
    tokens: int
    slope: float


@dataclass(frozen=True)
class Noise:
    """What is random in d: its standard deviation is sigma times 1 - p.

    Attributes:
        sigma: None where there is nothing to estimate it from.
        source: "repeats", tokens seen again in the very same context, which only noise lets differ; "quantiles", the
            middle of |d|/(1 - p) over all tokens, an upper bound; or "none".
        repeats: tokens beyond the first in their context; sigma is known to one part in about sqrt(2 repeats).
    """

    sigma: float | None
    source: str
    repeats: int


@dataclass(frozen=True)
class Confidence:
    """How often random halves of the sequences lead to the same verdict.

    Attributes:
        word: "sure" if all do, "likely" if three of four do, else "unclear", also where there are too few to halve.
        share: of the halves; None where there were none.
        halves: how many were looked at.
    """

    word: str
    share: float | None
    halves: int


@dataclass(frozen=True)
class Alignment:
    """The verdict on two sets of log-probs that should be equal.

    Attributes:
        error: how far apart they are.
        noise: how much of that is random.
        verdict: the cause, a name of `bandpo.microscope.alignment.CAUSES`.
        one_of: other causes that this batch cannot tell from the verdict.
        confidence: how sure the verdict is.
        sentence: all of it for a person.
        also: further faults found beside the verdict.
        to_tell: the least that would tell the verdict from `one_of`; empty where nothing is left open.
        evidence: the statistics that decided.
    """

    error: Error
    noise: Noise
    verdict: str
    one_of: tuple[str, ...]
    confidence: Confidence
    sentence: str
    also: tuple[str, ...] = ()
    to_tell: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_aligned(self) -> bool:
        """Return whether nothing but numeric noise was found."""
        return self.verdict == "aligned" and not self.also

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, texts, lists and mappings."""
        return {**asdict(self), "one_of": list(self.one_of), "also": list(self.also), "evidence": dict(self.evidence)}


@dataclass(frozen=True)
class Finding:
    """What one rule found: a cause, the words for it, and its statistics.

    Attributes:
        verdict: a name of CAUSES.
        text: a clause that follows "the old policy's log-probs", or a whole sentence.
        one_of, to_tell, evidence: as in `Alignment`.
    """

    verdict: str
    text: str
    one_of: tuple[str, ...] = ()
    to_tell: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
