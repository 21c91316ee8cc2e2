"""First uses in engines whose loss sees one micro-batch at a time: which calls are one, and what is said of them.

A call is a first use if no optimizer has taken a step since its old log-probs were taken. A loss is not told when they
were, but two things are sure. Before the first step of a process the weights are those that it, and the sampler,
started from. And an engine may be seen to take old log-probs: it says `begin`. Every other call may be a later epoch, a
later mini-batch, or a batch of a policy that is stale on purpose: nothing is said of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bandpo.core.objective.metrics import Metrics
from bandpo.engines.common.first_use import FirstUseCheck
from bandpo.engines.common.objective import Objective
from bandpo.engines.common.optimizer_steps import optimizer_steps
from bandpo.microscope.alignment.first_ratio import first_ratio_metrics
from bandpo.microscope.processes import rank

# Tokens that a warning needs at least, where the error is large.
_LEAST = 100

Known = Callable[[], Mapping[str, Tensor]]


class FirstCalls:
    """The calls of a loss that are first uses, as a clock of optimizer steps tells them.

    Tokens of first uses are copied to the CPU until there are 4,096; they are judged once a step has been taken, so a
    clock that never ticks makes no false alarm.

    Args:
        objective: the method, whose anchor says which log-probs the ratio is divided by.
        steps: () -> optimizer steps taken so far.

    >>> from bandpo.engines.common.objective import objective
    >>> taken, logp = [0], torch.tensor([[-1.0, -2.0]])
    >>> calls = FirstCalls(objective(), steps=lambda: taken[0])
    >>> sorted(calls.look(logp, logp, logp < 0))[0]
    'first_ratio_error'
    >>> taken[0] = 1
    >>> calls.look(logp, logp, logp < 0)
    {}
    """

    def __init__(self, objective: Objective, steps: Callable[[], int] = optimizer_steps):
        self._steps = steps
        self._began: int | None = steps()
        other = "sampler" if objective.anchor == "rollout" else "old policy"
        self._check = FirstUseCheck(objective, is_silent=not _speaks(), which=f"trainer and {other}")

    def begin(self) -> None:
        """Note that the old log-probs of the calls that follow were taken with the weights of this moment."""
        self.end()
        self._began = self._steps()

    def end(self) -> None:
        """Note that the weights may have moved, and judge what was gathered before."""
        if self._began is not None:
            self._check.judge(_LEAST)
        self._began = None

    def look_at_rounding(self, logp_old: Tensor, mask: Tensor) -> None:
        """Warn, once, of old log-probs in 16 bits; all that can be looked at where an engine shows no new ones."""
        self._check.look_at_rounding(logp_old, mask)

    def look(self, logp: Tensor, logp_old: Tensor, mask: Tensor, known: Known = dict) -> Metrics:
        """Look at a call of the loss.

        Args:
            logp, logp_old: (B, T) or (T,), the log-probs whose difference is the log of the ratio.
            mask: same shape, nonzero for the tokens that count; elsewhere all may hold anything.
            known: () -> token_ids and entropy (B, T) and groups (B,), as far as the engine has them; called while
                tokens are gathered.

        Returns:
            `first_ratio_*` where this is a first use, nothing otherwise.
        """
        new, old, counts = (torch.atleast_2d(each.detach()) for each in (logp, logp_old, mask))
        self.look_at_rounding(old, counts)
        if self._steps() != self._began:
            self.end()
            return {}
        if not self._check.is_done:
            shapes = {"groups": counts.shape[:1]}
            fitting = {n: each for n, each in known().items() if each.shape == shapes.get(n, counts.shape)}
            self._check.gather(new, old, counts, **fitting)
        return first_ratio_metrics(new, old, counts)


def _speaks() -> bool:
    """Return whether this process warns for a run: the first one, in Megatron's pipeline the first that sees a loss."""
    megatron: Any = sys.modules.get("megatron.core.parallel_state")
    if megatron is None or not megatron.model_parallel_is_initialized():
        return rank() == 0
    ranks = megatron.get_data_parallel_rank, megatron.get_tensor_model_parallel_rank, megatron.get_context_parallel_rank
    return not any(of_group() for of_group in ranks)


_of_engine: dict[str, FirstCalls] = {}


def first_calls(engine: str, objective: Objective) -> FirstCalls:
    """Return the one of this process and engine, made when it is first asked for.

    Args:
        engine: its name.
        objective: the method; of the first call, a run has one.
    """
    if engine not in _of_engine:
        _of_engine[engine] = FirstCalls(objective)
    return _of_engine[engine]


def begin_first_use(engine: str) -> None:
    """Say that an engine trains next on a batch whose old log-probs its present weights have taken.

    Before its first loss there is nothing to say: that is a first use anyway.
    """
    if engine in _of_engine:
        _of_engine[engine].begin()


def first_use_metrics(
    engine: str,
    objective: Objective,
    logp: Tensor,
    logp_old: Tensor,
    mask: Tensor,
    logp_rollout: Tensor | None = None,
    known: Known = dict,
) -> Metrics:
    """Return what an adapter adds to its metrics: `first_ratio_*` of a first use, nothing of any other call.

    A warning names what is wrong, once a process and in the first one of a run alone.

    Args:
        engine: whose process this is.
        objective: the method with its anchor.
        logp, logp_old, mask, known: as for `FirstCalls.look`.
        logp_rollout: the sampler's, which a rollout-anchored method divides by.
    """
    anchored = logp_rollout if objective.anchor == "rollout" and logp_rollout is not None else logp_old
    return first_calls(engine, objective).look(logp, anchored, mask, known)


def sampled_tokens(ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the token ids that log-probs of whole sequences belong to, and the group of each row by its prompt.

    Args:
        ids: (B, T + 1) integers, prompt and answer.
        mask: (B, T + 1), nonzero for the answer's tokens; what is before the first of them is the prompt.

    Returns:
        token_ids (B, T), as log-probs of next tokens are laid out, and groups (B,): equal for equal prompts.

    >>> ids = torch.tensor([[5, 6, 7], [5, 6, 8], [9, 6, 7]])
    >>> known = sampled_tokens(ids, torch.tensor([[0, 0, 1]] * 3))
    >>> known["token_ids"].tolist(), (known["groups"] == known["groups"][0]).tolist()
    ([[6, 7], [6, 8], [6, 7]], [True, True, False])
    """
    is_prompt = (mask != 0).cumsum(1) == 0
    return {"token_ids": ids[:, 1:], "groups": row_hashes(torch.where(is_prompt, ids, -1))}


def row_hashes(ids: Tensor) -> Tensor:
    """Return a number of each row of integers, (B, T), equal for equal rows.

    >>> row_hashes(torch.tensor([[1, 2], [2, 1], [1, 2]])).unique().shape
    torch.Size([2])
    """
    draw = torch.Generator().manual_seed(0)
    weights = torch.randint(2**62, (ids.shape[1],), generator=draw).to(ids.device)
    return ((ids.long() + 1) * weights).sum(1)
