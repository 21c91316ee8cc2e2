"""How a loss is averaged, as the numbers a kernel takes."""

from __future__ import annotations

from typing import NamedTuple, get_type_hints

from bandpo.core.objective.aggregation import check_aggregation

MEAN_OF_TOKENS, MEAN_OF_MEANS, MEAN_OF_SUMS = 0, 1, 2
KINDS = {"token-mean": MEAN_OF_TOKENS, "seq-mean-token-mean": MEAN_OF_MEANS}


class PackedAverage(NamedTuple):
    """An aggregation as numbers.

    Attributes:
        kind: MEAN_OF_TOKENS, or the mean over sequences of the MEAN_OF_MEANS or MEAN_OF_SUMS.
        constant: divides the loss, 1 for none.
        denominator: number of tokens or sequences to divide by, 0 for the batch's own.
    """

    kind: int
    constant: float = 1.0
    denominator: float = 0.0


AVERAGE_SCHEMA = ", ".join(f"{kind.__name__} {name}" for name, kind in get_type_hints(PackedAverage).items())
"""The numbers of an average among the arguments of a torch operator."""


def packed_average(aggregation: str, max_tokens: int | None = None, denominator: float | None = None) -> PackedAverage:
    """Return the numbers of an aggregation, see `aggregate`.

    Raises:
        ValueError: as `aggregate`.

    >>> packed_average("seq-mean-token-sum-norm", max_tokens=100)
    PackedAverage(kind=2, constant=100.0, denominator=0.0)
    """
    check_aggregation(aggregation, max_tokens, denominator)
    kind = KINDS.get(aggregation, MEAN_OF_SUMS)
    return PackedAverage(kind, float(max_tokens or 1.0), float(denominator or 0.0))
