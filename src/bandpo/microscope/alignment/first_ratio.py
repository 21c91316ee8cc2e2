"""On the first use of a batch every ratio must be 1: metrics that add up, and one warning."""

from __future__ import annotations

import torch
from torch import Tensor

from bandpo.core.objective.metrics import Metrics, masked_sum
from bandpo.microscope.alignment.diagnosis import diagnose
from bandpo.microscope.alignment.panel import is_possible
from bandpo.microscope.alignment.verdict import Alignment

MOST_TOKENS = 65_536


@torch.no_grad()
def first_ratio_metrics(logp: Tensor, logp_old: Tensor, mask: Tensor) -> Metrics:
    """Return how far the ratio is from 1, as (sum, count) pairs that add up across micro-batches and ranks.

    With d = logp - logp_old, over the tokens that count and whose two log-probs are finite:

    | name | mean of | over |
    |---|---|---|
    | first_ratio_error | \\|d\\| | all tokens |
    | first_ratio_largest | \\|d\\|, weighted by d⁸: near the largest, and never above it | all tokens |
    | first_ratio_slope | d over logp_old, least squares through 0: certain tokens have no error | all tokens |
    | first_ratio_impossible | 1 if one of the two log-probs cannot be a sampled token's | all tokens that count |

    Args:
        logp: log-probs before the first update on the batch, any shape, any floating dtype.
        logp_old: log-probs the ratio is divided by.
        mask: nonzero for the tokens that count.

    >>> logp_old = torch.tensor([[-1.0, -2.0, -3.0]])
    >>> metrics = first_ratio_metrics(logp_old * 1.1, logp_old, logp_old < 0)
    >>> {name: round(value, 3) for name, value in bandpo.metric_means(metrics).items()}
    {'first_ratio_error': 0.2, 'first_ratio_largest': 0.296, 'first_ratio_slope': 0.1, 'first_ratio_impossible': 0.0}
    """
    dtype = torch.float64 if torch.float64 in (logp.dtype, logp_old.dtype) else torch.float32
    logp, logp_old, counts = logp.detach().to(dtype), logp_old.detach().to(dtype), mask != 0
    usable = counts & is_possible(logp) & is_possible(logp_old)
    d, x = torch.where(usable, logp - logp_old, 0), torch.where(usable, logp_old, 0)
    heavy = d.clamp(-1e3, 1e3).square().square().square()
    return {
        "first_ratio_error": masked_sum(d.abs(), usable),
        "first_ratio_largest": (masked_sum(heavy * d.abs(), usable)[0], masked_sum(heavy, usable)[0]),
        "first_ratio_slope": (masked_sum(d * x, usable)[0], masked_sum(x.square(), usable)[0]),
        "first_ratio_impossible": masked_sum((counts & ~usable).to(dtype), counts),
    }


class FirstUse:
    """Gather the first tokens of a run on their first use, and say once what is wrong with their old log-probs.

    Micro-batches are added until `most` tokens are there; then nothing more is kept. `verdict` may be asked for any
    time, at the end of the first batch say; `warning` gives its sentence once, and only if it is not "aligned".

    Args:
        most: tokens to keep; a few MiB at most, on the CPU.
        which: what the two sides are called, "NEW and OLD".

    >>> first, logp_old = FirstUse(), torch.rand(8, 16, generator=torch.Generator().manual_seed(0)).log()
    >>> first.add(logp_old.roll(1, dims=1), logp_old, logp_old < 0)
    >>> first.warning()
    "The old policy's log-probs ... Line up logits[t] with token t + 1."
    >>> first.warning() is None
    True
    """

    def __init__(self, most: int = MOST_TOKENS, which: str = "trainer and old policy"):
        self.most, self.which = most, which
        self.tokens = 0
        self.dtype_old: torch.dtype | None = None
        self._parts: list[dict[str, Tensor]] = []
        self._has_warned = False

    @property
    def is_full(self) -> bool:
        """Return whether further micro-batches would be dropped."""
        return self._has_warned or self.tokens >= self.most

    @property
    def error(self) -> float:
        """Return the mean |d| of what was gathered, infinite at a log-prob that is none; 0 before the first token."""
        errors = (torch.where(part["mask"], part["new"].float() - part["old"].float(), 0.0) for part in self._parts)
        total = sum(error.abs().nan_to_num(nan=torch.inf).sum().item() for error in errors)
        return total / max(self.tokens, 1)

    @torch.no_grad()
    def add(
        self,
        logp: Tensor,
        logp_old: Tensor,
        mask: Tensor,
        *,
        token_ids: Tensor | None = None,
        groups: Tensor | None = None,
        entropy: Tensor | None = None,
    ) -> None:
        """Keep whole rows of a micro-batch, (B, T) each and (B,) groups, up to what is still wanted."""
        if self.is_full:
            return
        reach = torch.cumsum((mask != 0).sum(1), 0)
        rows = max(1, int((reach <= self.most - self.tokens).sum()))
        columns = slice(0, self.most) if mask.shape[1] > self.most else slice(None)
        given = {"new": logp, "old": logp_old, "mask": mask != 0, "token_ids": token_ids, "entropy": entropy}
        part = {name: each[:rows, columns].detach().cpu() for name, each in given.items() if each is not None}
        if groups is not None:
            part["groups"] = groups[:rows].detach().cpu()
        if logp_old.dtype in (torch.bfloat16, torch.float16):
            self.dtype_old = logp_old.dtype
        self._parts.append(part)
        self.tokens += int(part["mask"].sum())

    def verdict(self) -> Alignment | None:
        """Return the diagnosis of what was gathered, None before the first token."""
        if not self.tokens:
            return None
        shared = set.intersection(*(set(part) for part in self._parts))
        width = max(part["mask"].shape[1] for part in self._parts)
        whole = {name: _joined([part[name] for part in self._parts], width) for name in sorted(shared)}
        return diagnose(**whole, dtype_old=self.dtype_old, which=self.which)  # pyright: ignore[reportArgumentType]

    def warning(self) -> str | None:
        """Return one sentence the first time something is wrong, None otherwise; afterwards nothing is kept."""
        if self._has_warned or (found := self.verdict()) is None or found.is_aligned:
            return None
        self._has_warned = True
        self._parts.clear()
        return found.sentence


def _joined(parts: list[Tensor], width: int) -> Tensor:
    if parts[0].dim() == 1:
        return torch.cat(parts)
    return torch.cat([torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts])
