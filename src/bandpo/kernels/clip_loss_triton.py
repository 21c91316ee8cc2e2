"""The Triton code of the clipped loss; `clip_loss` launches it."""

from __future__ import annotations

import functools
import math
from collections import namedtuple
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from bandpo.core.checks import positive_slack
from bandpo.core.objective.metrics import BUCKETS
from bandpo.core.tokens import MAX_LOG_RATIO
from bandpo.kernels import averaging
from bandpo.kernels import blocks as layout
from bandpo.kernels.averaging import reduce_blocks
from bandpo.kernels.blocks import BucketSums, Inputs, Numbers, Outputs, Sums
from bandpo.kernels.bounds import BOTH, are_radii, bounds, on_device, one_search, with_radii
from bandpo.kernels.devices import current, kept
from bandpo.kernels.special import is_finite, least, most, phi
from bandpo.kernels.terms import importance_weight, reference_kl, rollout_kl

# Buckets of old probability: p = 1 belongs to the last.
BUCKET_COUNT, OVERALL, PER_BUCKET = (tl.constexpr(n) for n in (len(BUCKETS), layout.OVERALL, layout.PER_BUCKET))
GUARD = tl.constexpr(MAX_LOG_RATIO)
# What is done with the sampler's log-probs.
_UNREAD, _WATCHED, _WEIGHED = 0, 1, 2
UNREAD, WEIGHED = tl.constexpr(_UNREAD), tl.constexpr(_WEIGHED)
STARTS, ENDS = tl.constexpr((0.0, *BUCKETS[:-1])), tl.constexpr((*BUCKETS[:-1], math.inf))


@triton.jit
def _store(place, parts):
    """Store the sum over the tokens of each part, one after the other."""
    for i in tl.static_range(len(parts)):  # pyright: ignore[reportGeneralTypeIssues]
        tl.store(place + i, tl.sum(parts[i].to(tl.float32), 0))


@triton.jit
def _is_log_prob(logp, slack):
    """Mirror `checks.check_inside`."""
    return (logp <= slack) & is_finite(logp)


@triton.jit
def _clip_loss(
    logp_ptr,
    logp_old_ptr,
    advantages_ptr,
    mask_ptr,
    rollout_ptr,
    reference_ptr,
    gradient_ptr,
    per_token_ptr,
    parts_ptr,
    weights_ptr,
    loss_ptr,
    summary_ptr,
    done_ptr,
    rows,
    tokens,
    blocks,
    advantage_row,
    advantage_column,
    slacks,
    region,
    average,
    terms,
    AVERAGE: tl.constexpr,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    SEARCH: tl.constexpr,
    ROLLOUT: tl.constexpr,
    ESTIMATOR: tl.constexpr,
    METRICS: tl.constexpr,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Mirror `clipping.clip_to` and `trust_region_metrics`, for one block of tokens of one row.

    The block that is done last reduces what all have stored, so that one launch gives the loss.
    """
    program = tl.program_id(0)
    row = (program // blocks).to(tl.int64)
    block = program % blocks
    column = block * BLOCK + tl.arange(0, BLOCK)
    at = row * tokens + column
    counts = tl.load(mask_ptr + at, mask=column < tokens, other=0) != 0
    logp = tl.load(logp_ptr + at, mask=counts, other=-1.0).to(tl.float32)
    raw_old = tl.load(logp_old_ptr + at, mask=counts, other=-1.0).to(tl.float32)
    old = tl.minimum(raw_old, 0.0)
    where_advantage = advantages_ptr + row * advantage_row + column * advantage_column
    advantage = tl.load(where_advantage, mask=counts, other=0.0).to(tl.float32)

    d = least(most(logp - raw_old, -GUARD), GUARD)
    is_good, is_bad = advantage > 0.0, advantage < 0.0
    low, high = bounds(  # pyright: ignore[reportGeneralTypeIssues]
        old, is_good, region, row, column, counts, LOW, HIGH, SEARCH
    )
    above, under, past_dual = d > high, d < low, d > region.log_dual_clip
    pushed = tl.where(is_bad, least(most(d, low), region.log_dual_clip), least(d, high))
    loss = -advantage * tl.exp(pushed)
    stopped = (is_good & above) | (is_bad & (under | past_dual))
    ratio = tl.exp(d)
    is_free = ~((tl.abs(d) >= GUARD) | stopped)
    gradient = tl.where(is_free, -advantage * ratio, 0.0)
    is_right = _is_log_prob(logp, slacks.logp) & _is_log_prob(raw_old, slacks.old) & is_finite(advantage)
    is_right = is_right & are_radii(old, region, row, column, counts, LOW, HIGH)
    if ROLLOUT != UNREAD:
        rollout = tl.load(rollout_ptr + at, mask=counts, other=-1.0).to(tl.float32)
        is_right = is_right & _is_log_prob(rollout, slacks.rollout)
    if ROLLOUT == WEIGHED:
        weight = importance_weight(raw_old, rollout, terms)
        loss, gradient = loss * weight, gradient * weight
    if ESTIMATOR > 0:
        reference = tl.load(reference_ptr + at, mask=counts, other=-1.0).to(tl.float32)
        is_right = is_right & _is_log_prob(reference, slacks.reference)
        kl, slope = reference_kl(logp, reference, terms, ESTIMATOR)  # pyright: ignore[reportGeneralTypeIssues]
        loss, gradient = loss + terms.beta * kl, gradient + tl.where(counts, terms.beta * slope, 0.0)
    tl.store(gradient_ptr + at, gradient, mask=column < tokens)
    tl.store(per_token_ptr + at, loss, mask=column < tokens)
    is_right = is_right & is_finite(loss) & is_finite(gradient)
    wrong = counts & ~is_right

    place = parts_ptr + (row * blocks + block) * COUNT
    if METRICS:
        good, bad = counts & is_good, counts & is_bad
        is_bounded, nothing = high < float("inf"), tl.zeros_like(loss)
        total = Sums(
            loss=loss,
            tokens=counts,
            wrong=wrong,
            good=good,
            bad=bad,
            clip_high=good & above,
            clip_low=bad & under,
            dual_clip=bad & past_dual,
            clip=counts & (is_good | is_bad) & ~is_free,
            bound_low=tl.where(counts, tl.exp(low), 0.0),
            log_bound_high=tl.where(counts & is_bounded, high, 0.0),
            finite_high=counts & is_bounded,
            ratio=tl.where(counts, ratio, 0.0),
            approx_kl=tl.where(counts, phi(d), 0.0),
            sampled_entropy=tl.where(counts, -raw_old, 0.0),
            rollout_kl=tl.where(counts, rollout_kl(raw_old, rollout), 0.0) if ROLLOUT != UNREAD else nothing,
            reference_kl=tl.where(counts, kl, 0.0) if ESTIMATOR > 0 else nothing,
        )
        _store(place, total)
        p = tl.exp(raw_old)
        for i in tl.static_range(BUCKET_COUNT):
            inside = (p >= STARTS[i]) & (p < ENDS[i])
            inside_good, inside_bad = good & inside, bad & inside
            bucket = BucketSums(
                good=inside_good, clip_high=inside_good & above, bad=inside_bad, clip_low=inside_bad & under
            )
            _store(place + OVERALL + i * PER_BUCKET, bucket)
    else:
        _store(place, (loss, counts, wrong))

    tl.debug_barrier()  # all threads of this block have stored
    if tl.atomic_add(done_ptr, 1, sem="acq_rel") == rows * blocks - 1:
        tl.debug_barrier()
        tl.store(done_ptr, 0)  # for the next launch
        outputs = (weights_ptr, loss_ptr, summary_ptr)
        reduce_blocks(parts_ptr, outputs, rows, blocks, average, AVERAGE, COUNT, ROWS, BLOCKS)


Slacks = namedtuple("Slacks", "logp old rollout reference")
"""How far above 0 rounding may have pushed log-probs, see `checks.positive_slack`."""


def launch(inputs: Inputs, outputs: Outputs, numbers: Numbers) -> None:
    """Fill the outputs from the inputs, none of them empty."""
    logp, logp_old, advantages, mask, rollout, reference, low, high = inputs
    region, average, terms, metrics = numbers
    here = on_device(region, logp.device)
    if low is not None or high is not None:
        radii = (one if one is None else one.expand(logp.shape) for one in (low, high))
        here = with_radii(region, logp.device, *radii)
    slack_rollout = 0.0 if rollout is None else positive_slack(rollout)
    slack_reference = 0.0 if reference is None else positive_slack(reference)
    rows, tokens = logp.shape
    blocks = -(-tokens // layout.BLOCK)
    reduced_rows = min(triton.next_power_of_2(rows), averaging.REDUCED)
    kernel: Any = _clip_loss[(rows * blocks,)]
    with current(logp.device):
        kernel(
            logp.contiguous(),
            logp_old.contiguous(),
            advantages,
            mask.contiguous().view(torch.uint8),
            # What is not read is a tensor all the same, as Triton wants pointers.
            logp_old if rollout is None else rollout.contiguous(),
            logp_old if reference is None else reference.contiguous(),
            *outputs,
            _counter(logp.device),
            rows,
            tokens,
            blocks,
            *_strides(advantages),
            Slacks(positive_slack(logp), positive_slack(logp_old), slack_rollout, slack_reference),
            here,
            average,
            terms,
            AVERAGE=average.kind,
            LOW=region.low_kind,
            HIGH=region.high_kind,
            SEARCH=BOTH if metrics else one_search(region, high),
            ROLLOUT=_UNREAD if rollout is None else _WATCHED if math.isinf(terms.log_importance_cap) else _WEIGHED,
            ESTIMATOR=terms.estimator,
            METRICS=metrics,
            COUNT=outputs.parts.shape[1],
            BLOCK=layout.BLOCK,
            ROWS=reduced_rows,
            BLOCKS=averaging.REDUCED // reduced_rows,
            num_warps=layout.WARPS,
        )


def _strides(advantages: Tensor) -> tuple[int, int]:
    """Return the strides of advantages over rows and tokens; those given for each row, (B,) or (B, 1), have none."""
    row = advantages.stride(0)
    return (row, advantages.stride(1)) if advantages.dim() == 2 and advantages.shape[1] > 1 else (row, 0)


def _counter(device: torch.device) -> Tensor:
    """Return a zero that a launch counts its blocks in, and leaves a zero: one for each stream, whose launches queue.

    A graph has its own, made while it is captured: it may be replayed beside the stream that captured it.
    """
    if device.type != "cuda":
        return _zero(device, 0)
    if torch.cuda.is_current_stream_capturing():
        return torch.zeros(1, dtype=torch.int32, device=device)
    return _zero(device, torch.cuda.current_stream(device).cuda_stream)


@functools.cache
def _zero(device: torch.device, stream: int) -> Tensor:
    return kept(device, lambda: [torch.zeros(1, dtype=torch.int32, device=device)])[0]
