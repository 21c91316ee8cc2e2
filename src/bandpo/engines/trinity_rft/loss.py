"""Trinity-RFT's policy loss of a method: what of it needs Trinity-RFT."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from trinity.algorithm.policy_loss_fn.policy_loss_fn import PolicyLossFn  # pyright: ignore[reportMissingImports]
from trinity.algorithm.utils import aggregate_loss, masked_mean  # pyright: ignore[reportMissingImports]

from bandpo.engines.common.first_calls import first_calls, first_use_metrics
from bandpo.engines.common.handover import metric_floats
from bandpo.engines.trinity_rft.adapter import ADAPTER


class BandPolicyLossFn(PolicyLossFn):
    """Trinity-RFT's policy loss with the trust region of a method.

    Args:
        backend: the trainer, "verl" or "tinker"; Trinity-RFT says which.
        loss_agg_mode: how its `aggregate_loss` averages; Trinity-RFT puts algorithm.loss_agg_mode here.
        **options: method, band_delta, method_kwargs and anchor.

    Raises:
        TypeError: an option by another name, or a hyperparameter the method does not take.
        ValueError: an unknown method, one that needs what Trinity-RFT does not hand to a loss, no loss_agg_mode.

    >>> BandPolicyLossFn(method="band-kl", loss_agg_mode="token-mean").objective.method.name  # doctest: +SKIP
    'band-kl'
    """

    def __init__(self, backend: str = "verl", loss_agg_mode: str | None = None, **options: Any):
        super().__init__(backend=backend)
        self.objective = ADAPTER.objective_for(options, SimpleNamespace(loss_agg_mode=loss_agg_mode))
        self.loss_agg_mode = loss_agg_mode

    def __call__(
        self,
        logprob: Tensor,
        old_logprob: Tensor,
        action_mask: Tensor,
        advantages: Tensor,
        rollout_log_probs: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, a scalar, and its metrics, which Trinity-RFT logs under actor/.

        Args:
            logprob, old_logprob, action_mask, advantages: (B, T), or (T,) of one sample.
            rollout_log_probs: the same, the sampler's; the tinker trainer has them as old_logprob alone.
            **kwargs: what else the trainer has.

        Raises:
            ValueError: a log-prob or advantage inside the mask that is none.
        """
        sampler = old_logprob if self.backend == "tinker" else rollout_log_probs
        rows = [torch.atleast_2d(x) for x in (logprob, old_logprob, advantages, action_mask != 0)]
        rollout = None if sampler is None else torch.atleast_2d(sampler)
        per_token, metrics = self.objective.per_token(*rows, logp_rollout=rollout)
        metrics |= first_use_metrics(ADAPTER.engine, self.objective, rows[0], rows[1], rows[3], rollout)
        if self.backend == "tinker":
            first_calls(ADAPTER.engine, self.objective).end()  # its optimizer is in another process
        loss = aggregate_loss(per_token.view_as(logprob), action_mask, loss_agg_mode=self.loss_agg_mode)
        means = metric_floats(metrics)
        return loss, {
            "pg_clipfrac": means["band/clip"],
            "ppo_kl": masked_mean((old_logprob - logprob).detach(), action_mask).item(),
            "pg_loss": loss.item(),
            **means,
        }

    @classmethod
    def default_args(cls) -> dict[str, Any]:
        """Return the arguments that Trinity-RFT takes where the configuration has no policy_loss_fn_args."""
        return {"method": "band-kl", "loss_agg_mode": "token-mean"}
