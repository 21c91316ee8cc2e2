"""A method as a loss for tinker's `forward_backward_custom`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bandpo.core.objective.aggregation import aggregate
from bandpo.engines.common.adapter import Adapter
from bandpo.engines.common.first_calls import first_calls
from bandpo.engines.common.handover import metric_floats
from bandpo.engines.tinker.cookbook import Loss

ADAPTER = Adapter("tinker", provided=("logp_rollout",), only_anchor="rollout")


def band_loss(
    method: str = "band-kl",
    *,
    band_delta: float | None = None,
    method_kwargs: dict[str, Any] | None = None,
    aggregation: str = "sum",
    max_tokens: int | None = None,
    denominator: float | None = None,
) -> Loss:
    """Return a loss for tinker's `forward_backward_custom`.

    Args:
        method, band_delta, method_kwargs: as everywhere in bandpo.
        aggregation: "sum" over tokens, or a name that `bandpo.aggregate` takes.
        max_tokens, denominator: as for `bandpo.aggregate`.

    Returns:
        (data, log-probs) -> (scalar loss, metrics named `band/NAME:mean`).

    Raises:
        TypeError, ValueError: an unknown method, a hyperparameter it does not take, an input tinker does not have.

    >>> from types import SimpleNamespace as Datum
    >>> datum = Datum(loss_fn_inputs={"logprobs": torch.tensor([-1.0, -2.0]), "advantages": torch.ones(2)})
    >>> loss, metrics = band_loss("band-kl")([datum], [torch.tensor([-1.0, -2.0])])
    >>> loss, metrics["band/clip:mean"]
    (tensor(-2.), 0.0)
    """
    objective = ADAPTER.objective_for({"method": method, "band_delta": band_delta, "method_kwargs": method_kwargs})
    reduction = {"max_tokens": max_tokens, "denominator": denominator}
    if aggregation != "sum":
        aggregate(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), aggregation, **reduction)  # bad names, now
    elif (max_tokens, denominator) != (None, None):
        raise ValueError(f"max_tokens={max_tokens!r}, denominator={denominator!r} have no effect on aggregation='sum'")

    def loss(data: list[Any], logprobs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        new = pad_sequence(logprobs, batch_first=True)
        sampler, advantages = _padded(data, "logprobs", logprobs), _padded(data, "advantages", logprobs)
        has_mask = all("mask" in datum.loss_fn_inputs for datum in data)
        mask = (_padded(data, "mask", logprobs) if has_mask else advantages) != 0
        per_token, metrics = objective.per_token(new, sampler, advantages, mask, logp_rollout=sampler)
        metrics.pop("rollout_kl", None)  # of the sampler to itself
        calls = first_calls("tinker", objective)
        metrics |= calls.look(new, sampler, mask)
        calls.end()  # its optimizer is in another process
        total = per_token.sum() if aggregation == "sum" else aggregate(per_token, mask, aggregation, **reduction)
        return total, {f"{name}:mean": value for name, value in metric_floats(metrics).items()}

    return loss


def _padded(data: list[Any], name: str, logprobs: list[Tensor]) -> Tensor:
    """Return a per-token field of every datum, (B, T), 0 beyond its end."""
    rows = []
    for index, (datum, new) in enumerate(zip(data, logprobs, strict=True)):
        if name not in datum.loss_fn_inputs:
            fields = ", ".join(datum.loss_fn_inputs) or "nothing"
            raise ValueError(f"data[{index}].loss_fn_inputs has {fields}: expected {name!r} too")
        field = datum.loss_fn_inputs[name]
        row = field if isinstance(field, Tensor) else field.to_torch()
        if row.shape != new.shape or row.dim() != 1:
            raise ValueError(f"data[{index}]: {name!r} {tuple(row.shape)}, expected {tuple(new.shape)}, one dimension")
        rows.append(row.float())
    return pad_sequence(rows, batch_first=True)
