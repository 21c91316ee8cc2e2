"""slime: any interval of `bandpo.methods()`, through a custom loss that runs slime's own with per-token bounds.

    --loss-type custom_loss --custom-loss-function-path bandpo.engines.slime.loss --custom-config-path band.yaml
    --custom-megatron-init-path bandpo.engines.slime.choose

where band.yaml holds `bandpo: {method: band-kl, band_delta: 0.05}`.

- Argument order: args, batch, logits, sum_of_sample_mean; the batch holds lists of 1-D tensors, one a sample, local to
  the context-parallel rank.
- Old log-probs: batch["log_probs"], which slime recomputes before the first update, at rollout_temperature and over the
  nucleus where rollout_top_p cuts. With --use-rollout-logprobs they are the sampler's, for ratio and bounds alike.
- Normalisation: slime's. `policy_loss_function` does everything: log-probs of sharded logits, importance correction,
  OPSM, entropy, KL, reduction, metrics. It clamps the ratio to 1 - eps_clip .. 1 + eps_clip_high; we hand it tensors.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from bandpo.engines._handover import check_choice, choice, chosen, refuse_other_regions
from bandpo.engines._own_settings import dual_clip, refuse_clip_range
from bandpo.engines.doctor import Finding, Options, count, installed, known_names
from bandpo.engines.objective import Objective

PATH = "bandpo.engines.slime.loss"


def loss(args: Any, batch: Any, logits: Tensor, sum_of_sample_mean: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """slime's policy loss with the method's bounds, and its metrics with `band/bound_low` and `band/log_bound_high`.

    Raises:
        TypeError, ValueError: what cannot be honoured here, see `choose`; no old log-probs in the batch.
    """
    from slime.backends.megatron_utils.loss import policy_loss_function  # pyright: ignore[reportMissingImports]

    one = choose(args)
    name = "rollout_log_probs" if args.use_rollout_logprobs else "log_probs"
    if not batch.get(name):
        raise ValueError(f"slime handed over no {name}: there are no log-probs to compute bounds from")
    settings = copy.copy(args)
    low, high = one.epsilons(torch.cat(batch[name], dim=0))
    settings.eps_clip, settings.eps_clip_high = low, high
    settings.eps_clip_c = dual_clip(one, "--eps-clip-c", args.eps_clip_c)
    if settings.eps_clip_c is not None and "eps_clip_c" not in policy_loss_function.__code__.co_names:
        raise ValueError(f"dual_clip={settings.eps_clip_c!r}: this slime's loss takes no dual clip, newer ones do")
    total, metrics = policy_loss_function(settings, batch, logits, sum_of_sample_mean)
    metrics["band/bound_low"] = sum_of_sample_mean(1 - low)
    metrics["band/log_bound_high"] = sum_of_sample_mean(torch.log1p(high).nan_to_num(posinf=0.0))
    return total, metrics


def choose(args: Any) -> Objective:
    """The objective that `args.bandpo` names.

    As --custom-megatron-init-path it refuses when Megatron starts in a worker, before the first rollout; the loss
    itself refuses at the first update.

    Raises:
        TypeError: a hyperparameter the method does not take.
        ValueError: an unknown method, one that is no interval, or settings of slime that contradict it.
    """
    options = getattr(args, "bandpo", None)
    if not isinstance(options, dict):
        raise ValueError(f"bandpo={options!r}: expected --custom-config-path to a YAML file with a mapping 'bandpo'")
    one = chosen("slime", options, ("logp_rollout",))
    refuse_other_regions(one, "slime")
    if args.advantage_estimator in ("gspo", "cispo"):
        raise ValueError(f"--advantage-estimator {args.advantage_estimator} brings a loss of its own: expected another")
    wanted, given = options.get("anchor"), "rollout" if args.use_rollout_logprobs else "old"
    if wanted not in (None, given):
        flag = "with" if args.use_rollout_logprobs else "without"
        raise ValueError(f"anchor={wanted!r} {flag} --use-rollout-logprobs, which decides for ratio and bounds")
    refuse_clip_range(one, {"--eps-clip": (args.eps_clip, 0.2, "eps_low")})
    refuse_clip_range(one, {"--eps-clip-high": (args.eps_clip_high, args.eps_clip, "eps_high")})
    dual_clip(one, "--eps-clip-c", args.eps_clip_c)
    return one


# What this check and the adapter read, and neighbours of similar names.
KNOWN = (
    *("loss_type", "custom_loss_function_path", "custom_megatron_init_path", "custom_config_path", "bandpo"),
    *("advantage_estimator", "eps_clip", "eps_clip_high", "eps_clip_c", "value_clip", "use_rollout_logprobs"),
    *("num_steps_per_rollout", "rollout_batch_size", "n_samples_per_prompt", "n_samples_per_eval_prompt"),
    *("global_batch_size", "micro_batch_size", "kl_loss_type"),
)


def check(options: Options) -> list[Finding]:
    """Findings for slime's flags with underscores, and `bandpo.*` from the YAML file.

    >>> given = {"loss_type": "custom_loss", "custom_loss_function_path": "bandpo.engines.slime.loss"}
    >>> [f.level for f in check({**given, "num_steps_per_rollout": 4, "bandpo.method": "band-kl"})][1:]
    ['ok', 'ok', 'ok']
    """
    found = known_names(
        installed("slime", "0.2.4", ("0.3.1",), install="slime is installed from its repository"),
        "slime",
        options,
        KNOWN,
    )
    kind, path = options.get("loss_type"), options.get("custom_loss_function_path")
    if (kind, path) == ("custom_loss", PATH):
        found.append(Finding("ok", "slime loads our loss in every Megatron worker"))
    else:
        text = f"--loss-type {kind} --custom-loss-function-path {path}: another loss"
        found.append(Finding("fail", text, f"--loss-type custom_loss --custom-loss-function-path {PATH}"))
    given, sampler = choice(options, "bandpo"), options.get("use_rollout_logprobs") in (True, "true")
    names = {"advantage_estimator": "grpo", "eps_clip": 0.2, "eps_clip_high": None, "eps_clip_c": None}
    settings = {name: options.get(name, default) for name, default in names.items()}
    try:
        choose(type("Arguments", (), {**settings, "use_rollout_logprobs": sampler, "bandpo": given}))
    except (TypeError, ValueError) as error:
        found.append(Finding("fail", f"the adapter refuses these options: {error}"))
    else:
        whose = "the sampler's" if sampler else "Megatron's recomputed"
        found.append(check_choice("slime", {**given, "anchor": None}, whose=whose))
    steps, batch = count(options, "num_steps_per_rollout"), count(options, "global_batch_size")
    prompts, answers = count(options, "rollout_batch_size"), count(options, "n_samples_per_prompt", 1)
    if steps is None:
        steps = 0 if prompts is None or batch is None else prompts * answers / batch
    if steps > 1:
        found.append(Finding("ok", f"{steps:g} updates a rollout: the ratio leaves 1, the region acts"))
    elif sampler:
        found.append(
            Finding("warn", "one update a rollout: sampler and trainer differ by rounding and staleness alone")
        )
    else:
        text = "no more than one update a rollout: the ratio is always 1, every method trains like every other"
        found.append(Finding("fail", text, "--num-steps-per-rollout 4"))
    return found
