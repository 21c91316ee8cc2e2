"""One recorded batch: what a loss saw of some sequences, whichever engine wrote it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from bandpo.microscope.errors import BatchError

LOG_PROBS = ("logp", "logp_old", "logp_rollout", "logp_ref")
PER_TOKEN = (*LOG_PROBS, "advantages", "entropy", "token_ids")
PER_ROW = ("groups", "rewards")


@dataclass(frozen=True)
class TokenBatch:
    """B sequences of at most T sampled tokens, prompts left out; what is not known is None or empty.

    Attributes:
        mask: (B, T) bool, true for the tokens that count. Elsewhere every tensor may hold anything.
        logp, logp_old, logp_rollout, logp_ref: (B, T) log-probs under the policy being trained, the old policy as the
            trainer recomputed it, the sampler, and the reference policy.
        advantages: (B, T).
        entropy: (B, T) exact entropy of the policy being trained, in nats.
        token_ids: (B, T) int64.
        groups: (B,) int64; rows of one number are answers to one prompt.
        rewards: (B,).
        step: optimizer steps taken before this batch was seen.
        is_first_use: the policy had not been updated between `logp_old` and `logp`, so that both must agree.
        settings: the method and its options, temperature, top_p, top_k and the like, as far as known.
        dtypes: by tensor, the dtype it had before it was written, "bfloat16" say.
        decimals: after how many decimals the numbers were cut when they were written.
        texts: what a token id reads as.
        prompts: one text a row, or none.
        source: the file.
        format: who writes such files.
        notes: sentences on what this file lacks or hides, and which questions that closes.

    Raises:
        BatchError: a tensor whose shape does not fit the mask.

    >>> logp = torch.tensor([[-1.0, -2.0]])
    >>> batch = TokenBatch(mask=torch.ones(1, 2, dtype=torch.bool), logp=logp, logp_old=logp)
    >>> batch.tokens, batch.names
    (2, ('logp', 'logp_old'))
    """

    mask: Tensor
    logp: Tensor | None = None
    logp_old: Tensor | None = None
    logp_rollout: Tensor | None = None
    logp_ref: Tensor | None = None
    advantages: Tensor | None = None
    entropy: Tensor | None = None
    token_ids: Tensor | None = None
    groups: Tensor | None = None
    rewards: Tensor | None = None
    step: int | None = None
    is_first_use: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Mapping[str, str] = field(default_factory=dict)
    decimals: int | None = None
    texts: Mapping[int, str] = field(default_factory=dict)
    prompts: Sequence[str] = ()
    source: str = ""
    format: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.mask.dim() != 2:
            raise BatchError(f"{self.source}: mask has shape {tuple(self.mask.shape)}, expected (sequences, tokens)")
        for name, expected in [
            *((n, self.mask.shape) for n in PER_TOKEN),
            *((n, self.mask.shape[:1]) for n in PER_ROW),
        ]:
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != expected:
                raise BatchError(
                    f"{self.source}: {name} has shape {tuple(tensor.shape)}, expected {tuple(expected)} beside a mask "
                    f"of {tuple(self.mask.shape)}"
                )
        if self.prompts and len(self.prompts) != len(self.mask):
            raise BatchError(
                f"{self.source}: {len(self.prompts)} prompts, expected one for each of {len(self.mask)} rows"
            )

    @property
    def tokens(self) -> int:
        """Return how many tokens count."""
        return int(self.mask.sum())

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the tensors that are there, mask left out."""
        return tuple(name for name in (*PER_TOKEN, *PER_ROW) if getattr(self, name) is not None)

    def rows(self, rows: slice | Sequence[int]) -> TokenBatch:
        """Return some of the sequences, by a slice or by their numbers.

        >>> batch = TokenBatch(mask=torch.ones(3, 2, dtype=torch.bool), rewards=torch.tensor([0.0, 1.0, 2.0]))
        >>> batch.rows(slice(1, 2)).rewards
        tensor([1.])
        """
        cut = {name: getattr(self, name)[rows] for name in self.names}
        numbers = range(len(self.mask))[rows] if isinstance(rows, slice) else rows
        prompts = [self.prompts[number] for number in numbers] if self.prompts else ()
        return replace(self, mask=self.mask[rows], prompts=prompts, **cut)

    def parts(self, max_tokens: int) -> Iterator[TokenBatch]:
        """Yield the batch in parts of whole sequences, each of at most `max_tokens` positions or of one sequence."""
        count = max(1, max_tokens // max(self.mask.shape[1], 1))
        for start in range(0, len(self.mask), count):
            yield self.rows(slice(start, start + count))


def joined(parts: Sequence[TokenBatch]) -> TokenBatch:
    """Return several batches as one, padded on the right to the longest; what not all have is left out.

    >>> short = TokenBatch(mask=torch.ones(1, 1, dtype=torch.bool), rewards=torch.ones(1))
    >>> long = TokenBatch(mask=torch.ones(1, 2, dtype=torch.bool), rewards=torch.zeros(1))
    >>> joined([short, long]).mask
    tensor([[ True, False],
            [ True,  True]])
    """
    first = parts[0]
    width = max(part.mask.shape[1] for part in parts)
    tensors = {
        name: torch.cat([_widened(getattr(part, name), width) for part in parts])
        for name in ("mask", *first.names)
        if all(getattr(part, name) is not None for part in parts)
    }
    uses, steps = {part.is_first_use for part in parts}, {part.step for part in parts}
    return replace(
        first,
        **{**dict.fromkeys(first.names), **tensors},
        is_first_use=uses.pop() if len(uses) == 1 else None,
        step=steps.pop() if len(steps) == 1 else None,
        texts={token: text for part in parts for token, text in part.texts.items()},
        prompts=[prompt for part in parts for prompt in part.prompts] if all(part.prompts for part in parts) else (),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _widened(tensor: Tensor, width: int) -> Tensor:
    return tensor if tensor.dim() == 1 else torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]))


def from_rows(rows: Sequence[Mapping[str, Any]], **common: Any) -> TokenBatch:
    """Return a batch of sequences of different lengths, padded on the right.

    Args:
        rows: one mapping a sequence: names of `TokenBatch` to lists of its length or, for groups and rewards, to a
            number; `mask` where not every token counts. A name that not every row has is left out, with a note.
        **common: further attributes of the batch.

    Raises:
        BatchError: no rows, lists of one row that differ in length, values that are no numbers.

    >>> batch = from_rows([{"logp": [-1.0], "rewards": 1.0}, {"logp": [-2.0, -3.0], "rewards": 0.0}])
    >>> batch.logp, batch.tokens
    (tensor([[-1.,  0.],
            [-2., -3.]]), 3)
    """
    source = common.get("source", "")
    if not rows:
        raise BatchError(f"{source}: no sequence in it")
    shared = [name for name in (*PER_TOKEN, *PER_ROW) if all(row.get(name) is not None for row in rows)]
    partial = [
        name for name in (*PER_TOKEN, *PER_ROW) if name not in shared and any(row.get(name) is not None for row in rows)
    ]
    lengths = [_length(row, shared, source) for row in rows]
    width = max(max(lengths), 1)
    tensors: dict[str, Tensor] = {}
    for name in ("mask", *shared):
        is_integer = name in ("token_ids", "groups")
        dtype = torch.bool if name == "mask" else torch.int64 if is_integer else torch.float32
        try:
            if name in PER_ROW:
                tensors[name] = torch.tensor([row[name] for row in rows], dtype=dtype)
                continue
            padded = torch.zeros(len(rows), width, dtype=dtype)
            for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
                values = row.get(name) if name in row else [True] * length
                padded[number, :length] = torch.as_tensor(values).to(dtype)
            tensors[name] = padded
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise BatchError(f"{source}: {name} does not hold numbers: {error}") from None
    mask = tensors.pop("mask")
    notes = tuple(f"{name} is missing in some sequences and was left out" for name in partial)
    batch = TokenBatch(mask=mask, **tensors, **{**common, "notes": (*common.get("notes", ()), *notes)})
    known = {spec.name for spec in fields(TokenBatch)}
    unknown = {name for row in rows for name in row} - known
    assert not unknown, f"a reader gave {unknown}"
    return batch


def _length(row: Mapping[str, Any], shared: Sequence[str], source: str) -> int:
    lengths = {}
    for name in ("mask", *shared):
        if name in PER_ROW or row.get(name) is None:
            continue
        try:
            lengths[name] = len(row[name])
        except TypeError:
            raise BatchError(f"{source}: {name} is a {type(row[name]).__name__}, expected a list of numbers") from None
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BatchError(f"{source}: lists of one sequence differ in length: {listed}")
    return next(iter(lengths.values()), 0)
