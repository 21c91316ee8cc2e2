"""prime-rl: any method that reads log-probs and advantages, as a custom loss.

    [trainer.loss]
    type = "custom"
    import_path = "bandpo.engines.prime_rl.loss"

    [trainer.loss.kwargs]
    method = "band-kl"
    band_delta = 0.05

- Argument order: one `LossInputs`, read by name: trainer_logprobs, inference_logprobs, advantages, loss_mask,
  loss_weights; one sequence at a time, (T,).
- Old log-probs: prime-rl keeps none, inference_logprobs are the sampler's. Every ratio is divided by them and every
  bound computed from them, whatever policy the method's authors divide by.
- Normalisation: the loss is a sum over loss_mask, prime-rl divides by the token count of the whole batch. Its own
  kl_tau and adv_tau belong to its own losses and do not act.
"""

from __future__ import annotations

from typing import Any

import torch

from bandpo.engines._handover import check_choice, choice, chosen, metric_tensors, refuse_scope
from bandpo.engines.doctor import Finding, Options, installed, known_names, number
from bandpo.engines.objective import Objective

PROVIDED = ("logp_rollout",)
IMPORT_PATH = "bandpo.engines.prime_rl.loss"


def loss(
    inputs: Any,
    *,
    method: str = "band-kl",
    band_delta: float | None = None,
    method_kwargs: dict[str, Any] | None = None,
    anchor: str = "rollout",
) -> Any:
    """prime-rl's loss of one sequence, a masked sum, with metrics `band/*`.

    Args:
        inputs: prime-rl's `LossInputs`; positions outside `loss_mask` may hold anything.
        method, band_delta, method_kwargs: as everywhere in bandpo.
        anchor: "rollout", the only policy there is.

    Returns:
        prime-rl's `LossOutputs`.

    Raises:
        TypeError, ValueError: what cannot be honoured here, see `choose`.
    """
    from prime_rl.trainer.rl.loss import LossOutputs  # pyright: ignore[reportMissingImports]

    one = choose({"method": method, "band_delta": band_delta, "method_kwargs": method_kwargs, "anchor": anchor})
    mask, sampler = inputs.loss_mask[None], inputs.inference_logprobs[None]
    per_token, metrics = one.per_token(
        inputs.trainer_logprobs[None], sampler, inputs.advantages[None], mask, logp_rollout=sampler
    )
    metrics.pop("rollout_kl", None)  # of the sampler to itself
    if getattr(inputs, "loss_weights", None) is not None:
        per_token = per_token * torch.where(mask, inputs.loss_weights[None], 0.0)
    return LossOutputs(loss=per_token.sum(), metrics=metric_tensors(metrics))


def choose(options: dict[str, Any]) -> Objective:
    """The objective that `[trainer.loss.kwargs]` names.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that needs more than a sequence and its log-probs, or anchor="old".

    >>> choose({"method": "grpo"}).anchor
    'rollout'
    >>> choose({"anchor": "old"})
    Traceback (most recent call last):
    ValueError: anchor='old': prime-rl hands over the sampler's log-probs only, expected 'rollout'
    """
    if options.get("anchor", "rollout") != "rollout":
        raise ValueError(
            f"anchor={options['anchor']!r}: prime-rl hands over the sampler's log-probs only, expected 'rollout'"
        )
    one = chosen("prime-rl", {**options, "anchor": "rollout"}, PROVIDED)
    refuse_scope(one, "prime-rl", "one sequence at a time", "batch")
    return one


# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("trainer.loss.type", "trainer.loss.import_path", "trainer.loss.kwargs"),
    "orchestrator.max_off_policy_steps",
)


def check(options: Options) -> list[Finding]:
    """Findings for prime-rl's configuration by dotted names.

    >>> given = {"trainer.loss.type": "custom", "trainer.loss.import_path": "bandpo.engines.prime_rl.loss"}
    >>> [finding.level for finding in check(given)][1:]
    ['ok', 'ok']
    """
    found = known_names(
        installed("prime-rl", "0.4.0", ("0.8.0",), install="prime-rl is installed from its repository"),
        "prime-rl",
        options,
        KNOWN,
    )
    path, kind = options.get("trainer.loss.import_path"), options.get("trainer.loss.type")
    if (kind, path) == ("custom", IMPORT_PATH):
        found.append(Finding("ok", "prime-rl imports our loss in every trainer process"))
    else:
        text = f"trainer.loss.type={kind!r}, trainer.loss.import_path={path!r}: another loss"
        found.append(Finding("fail", text, f'type = "custom", import_path = "{IMPORT_PATH}"'))
    given = choice(options, "trainer.loss.kwargs")
    try:
        choose(given)
    except (TypeError, ValueError) as error:
        return [*found, Finding("fail", f"the adapter refuses these options: {error}")]
    found.append(check_choice("prime-rl", {**given, "anchor": "rollout"}, PROVIDED))
    lag = number(options, "orchestrator.max_off_policy_steps")
    if lag is not None and not lag >= 0:
        raise ValueError(f"orchestrator.max_off_policy_steps={lag!r}: expected at least 0")
    if lag == 0:
        text = "max_off_policy_steps=0: sampler and trainer differ by rounding alone, next to nothing is clipped"
        found.append(Finding("warn", text, "see docs/when-does-it-act.md"))
    return found
