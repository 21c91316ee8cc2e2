"""Both sides of a batch, and its tokens in a row with what is known of each: context, repeats, seen before."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

SMALLEST_SCALE = 0.01
"""Where p > 0.99 noise no longer falls with 1 - p: rounding of the log-prob itself is left."""
_PRIME = 6364136223846793005


@dataclass(frozen=True)
class Panel:
    """Two sides of one batch, (B, T), and what is known beside them; log-probs are fp64.

    Attributes:
        mask: the tokens that are compared.
        counted: the tokens that count, among them those that cannot be compared; the same as mask where None.
    """

    new: Tensor
    old: Tensor
    mask: Tensor
    ids: Tensor | None = None
    groups: Tensor | None = None
    entropy: Tensor | None = None
    counted: Tensor | None = None

    def rows(self, index: Tensor) -> Panel:
        """Return some rows."""
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        kept: dict[str, Any] = {name: None if each is None else each[index] for name, each in given.items()}
        return Panel(**kept)

    def usable(self) -> Panel:
        """Return the panel with a mask of the tokens whose two log-probs a policy can have."""
        usable = self.mask & is_possible(self.new) & is_possible(self.old)
        return replace(self, mask=usable, counted=self.mask)

    @property
    def whole(self) -> Tensor:
        """Return the tokens that count, whether or not they can be compared."""
        return self.mask if self.counted is None else self.counted


def is_possible(logp: Tensor) -> Tensor:
    """Return where a value can be a sampled token's log-prob: finite, at most 0 but for rounding, no sentinel."""
    return torch.isfinite(logp) & (logp < 0.13) & (logp > -1000.0)


def sums(values: Tensor, index: Tensor, count: int) -> Tensor:
    """Return the sum of the values of every index below `count`."""
    return torch.zeros(count, dtype=values.dtype).index_add_(0, index, values)


def dense(keys: Tensor) -> tuple[Tensor, int]:
    """Return keys renumbered 0, 1, ..., and how many differ."""
    unique, index = torch.unique(keys, return_inverse=True)
    return index, len(unique)


class Tokens:
    """The tokens of a panel that count, in a row.

    Attributes:
        new, old, entropy: (N,) fp64; entropy may be None.
        d: new - old.
        scale: 1 - p, the larger of both sides and at least `SMALLEST_SCALE`: what noise is proportional to.
        row, place: (N,) where a token stands.
    """

    def __init__(self, panel: Panel):
        self.panel = panel
        self.row, self.place = panel.mask.nonzero(as_tuple=True)
        at = (self.row, self.place)
        self.new, self.old = panel.new[at], panel.old[at]
        self.entropy = None if panel.entropy is None else panel.entropy[at]
        self.d = self.new - self.old
        self.scale = (-torch.expm1(torch.minimum(self.new, self.old))).clamp_min(SMALLEST_SCALE)

    def __len__(self) -> int:
        return len(self.d)

    @cached_property
    def u(self) -> Tensor:
        """Return d over its scale."""
        return self.d / self.scale

    @cached_property
    def ids(self) -> Tensor | None:
        """Return the token ids, None where unknown."""
        return None if self.panel.ids is None else self.panel.ids[self.row, self.place]

    @cached_property
    def group(self) -> Tensor:
        """Return the number of each token's group, or of its row where groups are unknown."""
        groups = self.panel.groups
        return dense(self.row if groups is None else groups[self.row])[0]

    @cached_property
    def is_last(self) -> Tensor:
        """Return whether a token is the last one of its row."""
        whole = self.panel.whole
        ends = torch.where(whole, torch.arange(whole.shape[1]), -1).amax(1)
        return self.place == ends[self.row]

    @cached_property
    def context(self) -> Tensor | None:
        """Return a key of (prompt, tokens before) for each token, None without ids and groups.

        Keys are hashes of 64 bits. Past a gap in a row's mask the tokens in between are unknown: there every token
        gets a key of its own.
        """
        panel = self.panel
        if panel.ids is None or panel.groups is None:
            return None
        mask, width = panel.whole, panel.mask.shape[1]
        first = mask.int().argmax(1, keepdim=True)
        offset = torch.arange(width) - first
        powers = torch.cumprod(torch.full((width + 1,), _PRIME), 0)
        terms = torch.where(mask, _mixed(panel.ids) * powers[offset.clamp(0, width)], 0)
        before = torch.cumsum(terms, 1) - terms
        key = before * 31 + _mixed(panel.groups)[:, None] + offset
        gapless = torch.cumsum(mask.int(), 1) == offset + 1
        alone = _mixed(torch.arange(mask.numel()).view_as(mask) - (1 << 40))
        return torch.where(gapless, key, alone)[self.row, self.place]

    @cached_property
    def seen(self) -> Tensor | None:
        """Return whether a token's id stood earlier in its row, None without ids."""
        if self.ids is None:
            return None
        key = _mixed(self.ids) + self.row * _PRIME
        order = torch.argsort(key, stable=True)
        again = torch.zeros(len(key), dtype=torch.bool)
        again[order[1:]] = key[order[1:]] == key[order[:-1]]
        return again

    @cached_property
    def cells(self) -> Cells | None:
        """Return the distinct (context, token) pairs, None where contexts are unknown."""
        return None if self.context is None else Cells(self)


class Cells:
    """The distinct (context, token) pairs; repeats of one are averaged.

    Attributes:
        of: (N,) cell of each token.
        size: (C,) tokens in each.
        new, old, d, scale: (C,) means.
        context: (C,) dense number of its context.
        ids: (C,).
        first: (C,) one token of each.
    """

    def __init__(self, tokens: Tokens):
        assert tokens.context is not None and tokens.ids is not None
        self.of, count = dense(tokens.context * _PRIME + _mixed(tokens.ids))
        self.size = sums(torch.ones_like(tokens.d), self.of, count)
        self.new, self.old, self.scale = (
            sums(each, self.of, count) / self.size for each in (tokens.new, tokens.old, tokens.scale)
        )
        self.d = self.new - self.old
        self.first = torch.zeros(count, dtype=torch.int64)
        self.first[self.of] = torch.arange(len(tokens))
        self.context, self.contexts = dense(tokens.context[self.first])
        self.ids = tokens.ids[self.first]

    def __len__(self) -> int:
        return len(self.d)

    @cached_property
    def u(self) -> Tensor:
        """Return d over its scale."""
        return self.d / self.scale


def _mixed(keys: Tensor) -> Tensor:
    """Return keys with their bits spread, so that sums of them do not meet by chance; int64 wraps around."""
    keys = (keys + 1) * -7046029254386353131
    keys = (keys ^ (keys >> 31)) * -4658895280553007687
    return keys ^ (keys >> 29)
