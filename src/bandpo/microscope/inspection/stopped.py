"""Which tokens a method stopped most, as people read them, and the sequences they stand in."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bandpo.microscope.batch import TokenBatch
from bandpo.microscope.inspection.rule import Acted

_MOST_TOKENS, _MOST_ROWS, _LONGEST = 30, 12, 600


@dataclass(frozen=True)
class TokenKind:
    """All tokens of one id: how many, how many were stopped, and the gradient that was dropped on them."""

    text: str
    tokens: int
    stopped: int
    dropped: float


@dataclass(frozen=True)
class Excerpt:
    """One sequence with what was done to each of its tokens; lists run over the tokens that count.

    Attributes:
        prompt, reward, step: of the sequence, as far as known.
        texts: what the tokens read as, "⟨17⟩" for an id without text.
        p, ratio, advantage, kept: old probability, new over old, A, and the share of the gradient that was kept.
        is_cut: the sequence is longer than is shown.
    """

    prompt: str
    reward: float | None
    step: int | None
    texts: list[str]
    p: list[float]
    ratio: list[float]
    advantage: list[float]
    kept: list[float]
    is_cut: bool


def kinds(batch: TokenBatch, did: Acted) -> list[TokenKind]:
    """Return the token ids with the most dropped gradient, the most first; nothing where ids are not known."""
    if batch.token_ids is None:
        return []
    ids, number = torch.unique(batch.token_ids[batch.mask], return_inverse=True)
    dropped = torch.bincount(number, (did.plain - did.kept).clamp_min(0).double(), minlength=len(ids))
    stopped = torch.bincount(number, did.is_stopped.double(), minlength=len(ids))
    tokens = torch.bincount(number, minlength=len(ids))
    order = dropped.argsort(descending=True)[:_MOST_TOKENS]
    return [
        TokenKind(text_of(batch, int(ids[n])), int(tokens[n]), int(stopped[n]), float(dropped[n]))
        for n in order.tolist()
        if dropped[n] > 0
    ]


def excerpts(batch: TokenBatch, did: Acted) -> list[Excerpt]:
    """Return the sequences with the most dropped gradient, the most first; nothing where ids are not known."""
    if batch.token_ids is None:
        return []
    dropped = torch.bincount(did.row, (did.plain - did.kept).clamp_min(0).double(), minlength=len(batch.mask))
    return [
        _excerpt(batch, did, row) for row in dropped.argsort(descending=True)[:_MOST_ROWS].tolist() if dropped[row] > 0
    ]


def text_of(batch: TokenBatch, token: int) -> str:
    """Return what a token id reads as.

    >>> text_of(TokenBatch(mask=torch.ones(1, 1, dtype=torch.bool), texts={7: "cat"}), 8)
    '⟨8⟩'
    """
    return batch.texts.get(token, f"⟨{token}⟩")


def _excerpt(batch: TokenBatch, did: Acted, row: int) -> Excerpt:
    assert batch.token_ids is not None
    here = (did.row == row).nonzero().flatten()
    shown = here[:_LONGEST]
    ids = batch.token_ids[row][batch.mask[row]][: len(shown)].tolist()
    kept = torch.where(did.plain[shown] > 0, did.kept[shown] / did.plain[shown].clamp_min(1e-30), 1.0)
    return Excerpt(
        prompt=batch.prompts[row] if batch.prompts else "",
        reward=None if batch.rewards is None else float(batch.rewards[row]),
        step=batch.step,
        texts=[text_of(batch, token) for token in ids],
        p=did.p[shown].tolist(),
        ratio=did.log_ratio[shown].exp().tolist(),
        advantage=did.advantages[shown].tolist(),
        kept=kept.tolist(),
        is_cut=len(here) > len(shown),
    )
