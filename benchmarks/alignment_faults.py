"""Planted faults: what sampler, trainer and old policy of a batch each did, and what the verdict must be."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.alignment_beds import UPDATES, Bed, Prompts, repeat, sample, score

Warp = Callable[[Tensor, Tensor], Tensor]
RANDOM = "random (dropout, kernels, batch noise)"


def at(temperature: float) -> Warp:
    """Another temperature."""
    return lambda logits, _: logits / temperature


def top_p(p: float) -> Warp:
    """The smallest set of tokens that holds p."""

    def warp(logits: Tensor, _: Tensor) -> Tensor:
        sorted_logits, order = logits.sort(-1, descending=True)
        share = torch.softmax(sorted_logits, -1)
        cut = share.cumsum(-1) - share >= p
        return logits.masked_fill(cut.scatter(-1, order, cut), -torch.inf)

    return warp


def top_k(k: int) -> Warp:
    """The k likeliest tokens."""
    return lambda logits, _: logits.masked_fill(logits < logits.topk(k, -1).values[..., -1:], -torch.inf)


def penalised(penalty: float) -> Warp:
    """Logits of tokens seen before, prompt included, divided by the penalty or, below 0, multiplied; -1 is no token."""

    def warp(logits: Tensor, before: Tensor) -> Tensor:
        seen = torch.zeros(*before.shape[:-1], logits.shape[-1] + 1, dtype=torch.bool)
        seen.scatter_(-1, before.where(before >= 0, torch.tensor(logits.shape[-1])), True)
        return torch.where(seen[..., :-1], torch.where(logits > 0, logits / penalty, logits * penalty), logits)

    return warp


def plain(logits: Tensor, _: Tensor) -> Tensor:
    """The policy itself."""
    return logits


def in_bf16(logits: Tensor, _: Tensor) -> Tensor:
    """Logits rounded to bf16."""
    return logits.bfloat16().float()


@dataclass(frozen=True)
class Side:
    """Who scores, or samples: the weights after so many updates, what is done to the logits, dropout."""

    warp: Warp = plain
    updates: int = UPDATES
    dropout: float = 0.0
    needs_past: bool = False


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        truth: the verdict that is right.
        sampler, new, old: who drew the tokens and who scored them.
        change: (old, mask, groups, generator) -> old, what happens to the old log-probs afterwards.
        only: the bed it can be planted on, "" for both.
        pads: the old side attends to the pads.
    """

    name: str
    truth: str
    sampler: Side = Side()
    new: Side = Side()
    old: Side = Side()
    change: Callable[[Tensor, Tensor, Tensor, torch.Generator], Tensor] | None = None
    only: str = ""
    pads: bool = False


def _shift(k: int, old: Tensor, *_: Any) -> Tensor:
    return old.roll(-k, 1)


def _permute(within: bool, old: Tensor, mask: Tensor, groups: Tensor, draw: torch.Generator) -> Tensor:
    keys = torch.rand(len(old), generator=draw, dtype=torch.float64) + (groups.double() * 2 if within else 0)
    return old[keys.argsort()]


def _round(dtype: torch.dtype, old: Tensor, *_: Any) -> Tensor:
    return old.to(dtype).float()


def _last(noise: float, old: Tensor, mask: Tensor, _: Tensor, draw: torch.Generator) -> Tensor:
    end = mask.sum(1, keepdim=True) - 1
    at_end = old.gather(1, end)
    value = -(at_end + noise * torch.randn(at_end.shape, generator=draw)).abs() if noise else torch.zeros_like(at_end)
    return old.scatter(1, end, value)


def _rare(share: float, old: Tensor, mask: Tensor, _: Tensor, draw: torch.Generator) -> Tensor:
    hit = torch.rand(old.shape, generator=draw) < share
    moved = old + -torch.expm1(old) * torch.randn(old.shape, generator=draw)
    return torch.where(hit, moved.clamp_max(0.0), old)


def faults(bed: str) -> list[Fault]:
    """All faults of a bed, each at its strengths."""
    k = {"C": (3, 5), "Q": (20, 50)}[bed]
    made = [Fault("clean", "aligned")]
    sharp = {t: Side(at(t)) for t in (0.7, 0.9, 1.1)}
    for t, side in sharp.items():
        made.append(Fault(f"temperature {t}, new wrong", "temperature", side, Side(), side))
        made.append(Fault(f"temperature {t}, old wrong", "temperature", side, side, Side()))
    truncations = [(f"top-p {p}", top_p(p)) for p in (0.9, 0.95)] + [(f"top-k {n}", top_k(n)) for n in k]
    cut = {name: Side(warp) for name, warp in truncations}
    made += [Fault(name, "truncated sampling", side, Side(), side) for name, side in cut.items()]
    made += [
        Fault("stored in bf16", "stored in bf16/fp16", change=partial(_round, torch.bfloat16)),
        Fault("stored in fp16", "stored in bf16/fp16", change=partial(_round, torch.float16)),
        Fault("shift by 1", "shifted", change=partial(_shift, 1)),
        Fault("shift by -1", "shifted", change=partial(_shift, -1)),
        Fault("rows permuted, all", "rows permuted", change=partial(_permute, False)),
        Fault("rows permuted, in their group", "rows permuted", change=partial(_permute, True)),
        Fault("last token, old = 0", "last token", change=partial(_last, 0.0)),
        Fault("last token, noise of 1", "last token", change=partial(_last, 1.0)),
        Fault("dropout 0.01", RANDOM, old=Side(dropout=0.01)),
        Fault("dropout 0.05", RANDOM, old=Side(dropout=0.05)),
        Fault("dropout 0.1", RANDOM, old=Side(dropout=0.1)),
    ]
    for penalty in (1.1, 1.2):
        side = Side(penalised(penalty), needs_past=True)
        made.append(Fault(f"repetition penalty {penalty}", "repetition penalty", side, Side(), side))
    made.append(Fault("padding: pads attended to", "padding", only="Q", pads=True))
    for behind in (1, 4, 16):
        old = Side(updates=UPDATES - behind)
        made.append(Fault(f"stale by {behind}", "other weights", old, Side(), old))
    for behind in (16, 48):
        made.append(Fault(f"wrong old, {behind} behind", "wrong old", Side(), Side(), Side(updates=UPDATES - behind)))
    made += [Fault(f"silent: sampled at {t}", "sampled elsewhere", side) for t, side in sharp.items()]
    for name in ("top-p 0.9", f"top-k {k[0]}"):
        made.append(Fault(f"silent: {name}", "sampled elsewhere", cut[name]))
    made += [
        Fault("logits in bf16", "low precision", old=Side(in_bf16)),
        Fault("rare large, 1 %", "rare large", change=partial(_rare, 0.01)),
    ]
    return [fault for fault in made if fault.only in ("", bed)]


@dataclass
class Pool:
    """Groups to draw batches from: (R, T) of each tensor, R = groups x rows."""

    prompts: Prompts
    ids: Tensor
    mask: Tensor
    new: Tensor
    old: Tensor
    entropy: Tensor


def _with_dropout(model: Any, p: float) -> list[Any]:
    hooks = []
    for name, module in model.named_modules():
        if p and name.rsplit(".", 1)[-1] in ("mlp", "wte", "embed_tokens"):
            hooks.append(module.register_forward_hook(lambda _, __, out: torch.dropout(out, p, True)))
    return hooks


def logps(bed: Bed, side: Side, prompts: Prompts, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Log-probs and entropies of a side, (R, T)."""
    model = bed.use(side.updates)
    hooks = _with_dropout(model, side.dropout)
    out, at_row = [], 0
    for logits in score(model, prompts, ids, mask):
        part = slice(at_row, at_row + len(logits))
        at_row += len(logits)
        past = _past(prompts, ids, part) if side.needs_past else ids[part]
        logs = torch.log_softmax(side.warp(logits, past), -1)
        entropy = -(logs.exp() * logs.clamp_min(-100.0)).sum(-1)
        out.append((logs.gather(-1, ids[part][..., None])[..., 0], entropy))
    for hook in hooks:
        hook.remove()
    return torch.cat([each for each, _ in out]), torch.cat([each for _, each in out])


def _past(prompts: Prompts, ids: Tensor, part: slice) -> Tensor:
    """What stood before each token, (R, T, P + T), -1 where nothing did."""
    before = torch.where(prompts.mask[part], prompts.ids[part], -1)
    whole = torch.cat([before, ids[part]], 1)
    width, prompt = ids.shape[1], before.shape[1]
    seen = torch.arange(whole.shape[1])[None] < prompt + torch.arange(width)[:, None]
    return torch.where(seen, whole[:, None], -1)


class Planter:
    """Plant faults on a bed: pools are drawn and scored once, batches are drawn from them by seed."""

    def __init__(self, bed: Bed, groups: int, seed: int, held_out: bool):
        self.bed, self.groups, self.seed, self.held_out = bed, groups, seed, held_out
        self.answers: dict[Side, tuple[Prompts, Tensor, Tensor]] = {}
        self.scores: dict[Any, tuple[Tensor, Tensor]] = {}

    def pool(self, fault: Fault) -> Pool:
        """Return the fault's pool, before its change of the old log-probs."""
        prompts, ids, mask = self._answers(fault.sampler)
        new, entropy = self._scores(fault.sampler, fault.new)
        old = new if fault.old == fault.new else self._scores(fault.sampler, fault.old)[0]
        return Pool(prompts, ids, mask, new, old, entropy)

    def _answers(self, side: Side) -> tuple[Prompts, Tensor, Tensor]:
        if side not in self.answers:
            rng, draw = random.Random(self.seed), torch.Generator().manual_seed(self.seed)
            prompts = repeat(self.bed.draw(self.groups, rng, self.held_out), self.bed.rows)
            ids = sample(self.bed.use(side.updates), prompts, self.bed.tokens, draw, side.warp)
            length = torch.randint(self.bed.shortest, self.bed.tokens + 1, (len(ids), 1), generator=draw)
            self.answers[side] = prompts, ids, torch.arange(self.bed.tokens)[None] < length
        return self.answers[side]

    def _scores(self, sampler: Side, side: Side) -> tuple[Tensor, Tensor]:
        if (sampler, side) not in self.scores:
            torch.manual_seed(self.seed)
            prompts, ids, _ = self._answers(sampler)
            self.scores[sampler, side] = logps(self.bed, side, prompts, ids)
        return self.scores[sampler, side]

    def batch(self, fault: Fault, pool: Pool, seed: int, sigma: float) -> dict[str, Any]:
        """Return one batch as `diagnose` takes it, with numeric noise of sigma (1 - p) on the new side."""
        draw = torch.Generator().manual_seed(seed)
        bed = self.bed
        chosen = torch.randperm(self.groups, generator=draw)[: bed.groups]
        rows = (chosen[:, None] * bed.rows + torch.arange(bed.rows)).flatten()
        groups = torch.arange(bed.groups).repeat_interleave(bed.rows)
        new, old, mask, ids = pool.new[rows], pool.old[rows], pool.mask[rows], pool.ids[rows]
        if fault.pads:
            old = self._with_pads(pool, rows)
        if fault.change is not None:
            old = fault.change(old, mask, groups, draw)
        noise = torch.randn(new.shape, generator=draw) if sigma else torch.zeros_like(new)
        new = (new - sigma * torch.expm1(new) * noise).clamp_max(0.0)
        return {
            "new": new, "old": old, "mask": mask, "token_ids": ids, "groups": groups, "entropy": pool.entropy[rows],
        }  # fmt: skip

    def _with_pads(self, pool: Pool, rows: Tensor) -> Tensor:
        longest = int(pool.prompts.mask[rows].sum(1).max())
        prompts = Prompts(pool.prompts.ids[rows][:, -longest:], pool.prompts.mask[rows][:, -longest:])
        return logps(self.bed, Side(), prompts, pool.ids[rows], torch.ones_like(prompts.mask))[0]
