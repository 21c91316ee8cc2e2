"""`diagnose`: why the log-probs of one policy, taken twice, are not equal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bandpo.microscope.alignment.case import Case
from bandpo.microscope.alignment.causes import CAUSES
from bandpo.microscope.alignment.judging import impossible, judge
from bandpo.microscope.alignment.panel import Panel, Tokens, dense
from bandpo.microscope.alignment.verdict import Alignment, Confidence, Error

MOST_TOKENS = 131_072
"""More tokens are thinned to whole groups spread over the batch: every statistic is sure long before."""
HALVES = 8


@torch.no_grad()
def diagnose(
    new: Tensor,
    old: Tensor,
    mask: Tensor,
    *,
    token_ids: Tensor | None = None,
    groups: Tensor | None = None,
    entropy: Tensor | None = None,
    dtype_old: torch.dtype | str | None = None,
    decimals: int | None = None,
    which: str = "trainer and old policy",
    halves: int = HALVES,
) -> Alignment:
    """Say why two log-probs of the same tokens differ that should be equal: d = new - old must be 0.

    Args:
        new: (B, T) log-probs of the sampled tokens by the policy being trained, before its first update on them.
        old: (B, T) the same by the old policy, or by the sampler.
        mask: (B, T) nonzero for the tokens that count; elsewhere all tensors may hold anything.
        token_ids: (B, T). With groups they show the noise (repeats) and most faults (siblings); without them few
            faults can be named.
        groups: (B,) rows of one number are answers to one prompt.
        entropy: (B, T) exact entropy of the new side, in nats; shows tokens sampled elsewhere.
        dtype_old: the dtype of old before it was written; found in the numbers where unknown.
        decimals: after how many decimals the numbers were cut.
        which: what the two sides are called in sentences, "NEW and OLD".
        halves: random halves of the sequences that are judged again, for the confidence.

    Returns:
        The verdict, what else it may be, how sure it is, and the sentence that says so.

    Raises:
        ValueError: a shape does not fit, or `which` does not name two sides.

    >>> old = torch.tensor([0.5, 0.25, 0.125]).log().repeat(4, 8)
    >>> mask = torch.ones_like(old, dtype=torch.bool)
    >>> diagnose(old, old, mask).sentence
    'Both sides agree on all 96 tokens, to 0 nats.'
    >>> wild = torch.rand(4, 24).log()
    >>> diagnose(wild, wild.roll(1, dims=1), mask).verdict
    'shifted'
    """
    panel = _panel(new, old, mask, token_ids, groups, entropy)
    new_name, joined, old_name = which.partition(" and ")
    if not joined:
        raise ValueError(f"which={which!r}: expected two names joined by ' and '")
    if dtype_old is None and old.dtype in (torch.bfloat16, torch.float16):
        dtype_old = old.dtype
    banned = impossible(panel, new_name, old_name)
    case = Case(panel.usable(), new_name, old_name, dtype_old, decimals)
    found, also = judge(case)
    if banned is not None:
        also = (*((found.verdict,) if found.verdict not in ("aligned", "nothing to compare") else ()), *also)
        found = replace(banned, evidence={**found.evidence, **banned.evidence})
        confidence = Confidence("sure", None, 0)
    else:
        confidence = _confidence(case, found.verdict, halves)
    return Alignment(
        error=_error(case.tokens),
        noise=case.noise,
        verdict=found.verdict,
        one_of=found.one_of,
        confidence=confidence,
        sentence=_sentence(found.text, found.verdict, found.one_of, found.to_tell, also, confidence),
        also=also,
        to_tell=found.to_tell,
        evidence=found.evidence,
    )


def _panel(
    new: Tensor, old: Tensor, mask: Tensor, ids: Tensor | None, groups: Tensor | None, entropy: Tensor | None
) -> Panel:
    if mask.dim() != 2:
        raise ValueError(f"mask: shape {tuple(mask.shape)}, expected (sequences, tokens)")
    for name, tensor, shape in (
        ("new", new, mask.shape),
        ("old", old, mask.shape),
        ("token_ids", ids, mask.shape),
        ("entropy", entropy, mask.shape),
        ("groups", groups, mask.shape[:1]),
    ):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name}: shape {tuple(tensor.shape)}, expected {tuple(shape)}")
    rows = _thinned(mask, groups)

    def taken(tensor: Tensor | None, dtype: torch.dtype) -> Any:
        if tensor is None:
            return None
        tensor = tensor.detach()
        return (tensor if rows is None else tensor[rows.to(tensor.device)]).to("cpu", dtype)

    panel = Panel(
        taken(new, torch.float64),
        taken(old, torch.float64),
        taken(mask != 0, torch.bool),
        taken(ids, torch.int64),
        taken(groups, torch.int64),
        taken(entropy, torch.float64),
    )
    return panel


def _thinned(mask: Tensor, groups: Tensor | None) -> Tensor | None:
    """Return the rows of groups spread over a batch that is too large, None for all."""
    per_row = (mask != 0).sum(1).cpu()
    total = int(per_row.sum())
    if total <= MOST_TOKENS:
        return None
    group, count = dense(torch.arange(len(per_row)) if groups is None else groups.detach().cpu())
    kept = max(1, int(count * MOST_TOKENS / total))
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.linspace(0, count - 1, kept).round().long()] = True
    return chosen[group].nonzero()[:, 0]


def _error(tokens: Tokens) -> Error:
    if not len(tokens):
        return Error(0.0, 0.0, 0.0, 0, 0.0)
    d, x = tokens.d, tokens.old - tokens.old.mean()
    spread = float(x.square().sum())
    slope = float((x * d).sum()) / spread if spread > 0 else 0.0
    return Error(float(d.abs().mean()), float(d.abs().max()), float(d.square().mean().sqrt()), len(d), slope)


def _confidence(case: Case, verdict: str, halves: int) -> Confidence:
    """Judge random halves of the groups, or of the rows where groups are few; halves are the same every time."""
    panel = case.panel
    rows = panel.mask.any(1).nonzero()[:, 0]
    if panel.groups is not None and len(torch.unique(panel.groups[rows])) >= 8:
        unit, count = dense(panel.groups[rows])
    else:
        unit, count = dense(rows)
    if count < 4 or halves < 1:
        return Confidence("unclear", None, 0)
    draw = torch.Generator().manual_seed(count)
    agree = 0
    for _ in range(halves):
        chosen = torch.zeros(count, dtype=torch.bool)
        chosen[torch.randperm(count, generator=draw)[: (count + 1) // 2]] = True
        half = Case(panel.rows(rows[chosen[unit]]), case.new, case.old, case.dtype_old, case.decimals)
        agree += judge(half)[0].verdict == verdict
    share = agree / halves
    return Confidence("sure" if share == 1 else "likely" if share >= 0.75 else "unclear", share, halves)


def _sentence(
    text: str, verdict: str, one_of: tuple[str, ...], to_tell: str, also: tuple[str, ...], confidence: Confidence
) -> str:
    parts = [text]
    if one_of:
        parts.append(f"Most likely {verdict}, but it may as well be {' or '.join(one_of)}; to tell: {to_tell}.")
    if also:
        parts.append(f"Also: {', '.join(also)}.")
    if verdict not in ("aligned", "nothing to compare"):
        cure = CAUSES[verdict].cure
        parts.append(f"If it is {verdict}: {cure}." if one_of else f"{cure[0].upper()}{cure[1:]}.")
        if confidence.word != "sure" and confidence.halves != 0:
            share = "too few sequences to check" if confidence.share is None else f"{confidence.share:.0%} of halves"
            parts.append(f"({confidence.word}: {share})")
    return " ".join(parts)
