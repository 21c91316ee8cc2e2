"""What the kernel of the clipped loss reads and fills, and in blocks of which size."""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

from torch import Tensor

from bandpo.core.objective.metrics import BUCKETS
from bandpo.core.objective.packed_average import PackedAverage
from bandpo.core.objective.packed_terms import PackedTerms
from bandpo.core.regions.packed import PackedRegion

# One fixed shape, not tuned at run time: with another the sums would be added in another order.
BLOCK, WARPS = 1024, 4

Sums = namedtuple(
    "Sums",
    "loss tokens wrong good bad clip_high clip_low dual_clip clip bound_low log_bound_high finite_high "
    "ratio approx_kl sampled_entropy rollout_kl reference_kl",
)
"""A block's sums over its tokens, in the order in which they are stored: the loss, the tokens that count, and those of
them that `check` refuses; of the tokens the good and the bad, and those stopped above, below, by the dual clip and in
any way; then what the metrics of the same names add up, `finite_high` the upper bounds that do. Without metrics only
the first three are there."""
BucketSums = namedtuple("BucketSums", "good clip_high bad clip_low")
"""The same of one bucket of old probability, which come after `Sums`, bucket by bucket."""
OVERALL, PER_BUCKET = len(Sums._fields), len(BucketSums._fields)
SUMS, WITHOUT_METRICS = OVERALL + PER_BUCKET * len(BUCKETS), 3


class Outputs(NamedTuple):
    """What the kernel fills, all fp32.

    Attributes:
        gradient, per_token: ∂ℓ/∂logp and ℓ of every token, (B, T).
        parts: `Sums` and `BucketSums` of every block, (blocks, SUMS), or (blocks, WITHOUT_METRICS).
        weights: of every row, (B,): its tokens' weight in the loss over what all tokens share, which is `summary[1]`.
        loss: the averaged loss, a scalar.
        summary: the number of tokens that `check` refuses, 1 more where the loss is not finite; then see `weights`.
    """

    gradient: Tensor
    per_token: Tensor
    parts: Tensor
    weights: Tensor
    loss: Tensor
    summary: Tensor


class Others(NamedTuple):
    """What some losses read besides, each None where it is not asked for.

    Attributes:
        logp_rollout, logp_ref: (B, T) fp32, bf16 or fp16, under the sampler and the reference.
        low_radius, high_radius: the radii of sides that are PER_TOKEN, see `Region.radii`; they broadcast to (B, T).
    """

    logp_rollout: Tensor | None = None
    logp_ref: Tensor | None = None
    low_radius: Tensor | None = None
    high_radius: Tensor | None = None


class Inputs(NamedTuple):
    """Every tensor that the kernel reads; see `clip_loss`."""

    logp: Tensor
    logp_old: Tensor
    advantages: Tensor
    mask: Tensor
    logp_rollout: Tensor | None
    logp_ref: Tensor | None
    low_radius: Tensor | None
    high_radius: Tensor | None


class Numbers(NamedTuple):
    """Everything else that it is told."""

    region: PackedRegion
    average: PackedAverage
    terms: PackedTerms
    metrics: bool


NO_OTHERS = Others()
