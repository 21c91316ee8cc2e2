"""An engine's own clip settings beside a method: which are the method's, which cannot act, which contradict it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bandpo.engines.common.objective import Objective

# Recipes turn an engine's dual clip off by a cap of 10 and more: a bad token's probability would have to grow that many
# times within one batch.
OFF = 10.0


def is_off(cap: float | None, own: float | None = None) -> bool:
    """Return whether an engine's cap on bad tokens' ratios counts as off beside a method.

    It does where there is none, and from 10 on where the method has no cap of its own or a lower one, behind which the
    engine's can never act.

    Args:
        cap: the engine's setting.
        own: the method's `dual_clip`.

    >>> is_off(1000.0), is_off(1000.0, own=10.0), is_off(3.0), is_off(10.0, own=20.0)
    (True, True, False, False)
    """
    return cap is None or (cap >= OFF and (own is None or own <= cap))


def refuse_clip_range(objective: Objective, settings: Mapping[str, tuple[Any, Any, str]]) -> None:
    """Raise ValueError at an engine's own clip setting that differs from its default and from the method's.

    Args:
        objective: the method with its hyperparameters.
        settings: the engine's name of it -> (value, default, the hyperparameter that it stands for).

    >>> from bandpo.engines.common.objective import objective
    >>> refuse_clip_range(objective("band-kl"), {"--eps-clip": (0.3, 0.2, "eps_low")})
    Traceback (most recent call last):
    ValueError: --eps-clip=0.3 has no effect with method='band-kl': write eps_low into method_kwargs, or leave it out
    """
    method, options = objective.method.name, objective.options
    for name, (value, default, hyperparameter) in settings.items():
        if value in (None, default, options.get(hyperparameter)):
            continue
        if hyperparameter == "dual_clip" and is_off(value, options.get(hyperparameter)):
            continue
        instead = f"write {hyperparameter} into method_kwargs, or leave it out"
        if hyperparameter not in options:
            instead = f"the method takes {', '.join(options) or 'no hyperparameters'}; leave it out"
        raise ValueError(f"{name}={value!r} has no effect with method={method!r}: {instead}")


def refuse_correction(objective: Objective, setting: str) -> None:
    """Raise ValueError at an importance correction of the engine's beside ratios to the sampler.

    >>> from bandpo.engines.common.objective import objective
    >>> refuse_correction(objective("dppo-tv", provided=("logp_rollout",)), "actor.rejection_sampling")
    Traceback (most recent call last):
    ValueError: actor.rejection_sampling with ratios to the sampler counts the mismatch twice
    """
    if objective.anchor == "rollout":
        raise ValueError(f"{setting} with ratios to the sampler counts the mismatch twice")


def dual_clip(objective: Objective, name: str, value: float | None, separator: str = "=") -> float | None:
    """Return the cap that the engine is to apply to bad tokens' ratios: the method's, or else the engine's own setting.

    Args:
        objective: the method with its hyperparameters.
        name, value: the engine's setting, None for no cap.
        separator: stands between the two in errors.

    Returns:
        None for no cap, and for a method that is no interval, whose loss the engine does not clip.

    Raises:
        ValueError: both have a cap and the two differ, or the method is no interval, where the engine's would act.

    >>> from bandpo.engines.common.objective import objective
    >>> dual_clip(objective("dual-clip"), "--eps-clip-c", None), dual_clip(objective("sapo"), "--eps-clip-c", 1000.0)
    (3.0, None)
    >>> dual_clip(objective("sapo"), "--eps-clip-c", 3.0)
    Traceback (most recent call last):
    ValueError: --eps-clip-c=3.0 with method='sapo', which clips no ratio: expected none, or 10 and more
    """
    own = objective.dual_clip
    shown, method = f"{name}{separator}{value!r}", f"method={objective.method.name!r}"
    if not objective.is_interval:
        if value != own and not is_off(value, own):
            raise ValueError(f"{shown} with {method}, which clips no ratio: expected none, or 10 and more")
        return None
    if own is None:
        return value
    if value != own and not is_off(value, own):
        raise ValueError(f"{shown} and dual_clip={own!r} of {method}: give one")
    return own
