"""The registry of methods: named points of the literature with their authors' hyperparameters.

A method here is an interval rule: logp_old and hyperparameters in, the log-ratio `Interval` of every token out.
The surrogate in `loss.py` then does the same for all of them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bandpo.core.band import Interval, band, fixed_interval
from bandpo.core.checks import check_number
from bandpo.core.divergences import divergences, get_divergence

_BAND_OPTIONS: dict[str, Any] = {
    "delta": 0.05,
    "delta_low": None,
    "delta_high": None,
    "lower": "band",
    "upper": "band",
    "eps_low": None,
    "eps_high": None,
    "max_ratio": None,
    "relax": None,
    "dual_clip": None,
}


@dataclass(frozen=True)
class Method:
    """A trust region by name.

    Attributes:
        name: the name `policy_loss` and every engine take.
        summary: what it does, in a line.
        citation: paper and equation.
        hyperparameters: every option it takes, with the authors' value.
        rule: (logp_old, check=..., **hyperparameters but dual_clip) -> Interval.
        ours: True where the method is this project's, not a paper's.
        per_token: False where the bounds are the same for every token, 1 - eps_low and 1 + eps_high.

    >>> method = bandpo.methods()["clip-higher"]
    >>> method.summary, method.citation
    ('fixed clip with a wider upper side, ratio 0.8 .. 1.28', 'DAPO, arXiv 2503.14476, eq. 8')
    """

    name: str
    summary: str
    citation: str
    hyperparameters: Mapping[str, Any]
    rule: Callable[..., Interval] = field(repr=False)
    ours: bool = False
    per_token: bool = True

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The method's hyperparameters with `given` put over them.

        Raises:
            TypeError: an option the method does not take.
            ValueError: dual_clip is not above 1.
        """
        unknown = [name for name in given if name not in self.hyperparameters]
        if unknown:
            options = ", ".join(self.hyperparameters) or "none"
            raise TypeError(f"method {self.name!r} takes no {unknown[0]!r}; its hyperparameters: {options}")
        resolved = {**self.hyperparameters, **given}
        if resolved.get("dual_clip") is not None:
            check_number("dual_clip", resolved["dual_clip"], 1.0, math.inf, low_open=True)
        return resolved

    def interval(self, logp_old: Tensor, *, check: bool = True, **hyperparameters: Any) -> Interval:
        """The log-ratio interval of every token; hyperparameters not given are the authors'.

        >>> bandpo.get_method("band-kl").interval(torch.tensor([0.1]).log(), delta=0.05).high.exp()
        tensor([2.2008])
        """
        options = self.resolve(hyperparameters)
        options.pop("dual_clip", None)
        return self.rule(logp_old, check=check, **options)


def _fixed_rule(logp_old: Tensor, *, check: bool, eps_low: float = math.inf, eps_high: float = math.inf) -> Interval:
    return fixed_interval(logp_old, eps_low, eps_high)


_BANDPO = "BandPO, arXiv 2603.04918"


def _band_method(divergence: str, name: str | None = None, summary: str | None = None, **changes: Any) -> Method:
    chosen = get_divergence(divergence)
    ours = name is not None or divergence not in ("kl", "tv", "chi2")
    return Method(
        name or f"band-{divergence}",
        summary or f"Band of radius δ in {chosen.summary}",
        f"{_BANDPO}, Theorem 1" if not ours else f"this project, after {_BANDPO}",
        {**_BAND_OPTIONS, **changes},
        functools.partial(band, divergence=chosen),
        ours=ours,
    )


_METHODS = {
    method.name: method
    for method in (
        Method(
            "grpo",
            "PPO's fixed clip, ratio 0.8 .. 1.2",
            "PPO, arXiv 1707.06347, eq. 7; GRPO, arXiv 2402.03300",
            {"eps_low": 0.2, "eps_high": 0.2, "dual_clip": None},
            _fixed_rule,
            per_token=False,
        ),
        Method(
            "clip-higher",
            "fixed clip with a wider upper side, ratio 0.8 .. 1.28",
            "DAPO, arXiv 2503.14476, eq. 8",
            {"eps_low": 0.2, "eps_high": 0.28, "dual_clip": None},
            _fixed_rule,
            per_token=False,
        ),
        Method(
            "dual-clip",
            "fixed clip, and the loss of bad tokens capped at ratio 3",
            "Ye et al., arXiv 1912.09729, eq. 4",
            {"eps_low": 0.2, "eps_high": 0.2, "dual_clip": 3.0},
            _fixed_rule,
            per_token=False,
        ),
        Method(
            "no-clip",
            "no trust region: the importance-weighted policy gradient",
            "the control of every comparison",
            {"dual_clip": None},
            _fixed_rule,
            per_token=False,
        ),
        _band_method("kl"),
        _band_method("tv"),
        _band_method("chi2"),
        _band_method("kl", "band-upper", "Band-KL above, fixed clip 0.8 below", eps_low=0.2),
        _band_method("kl", "band-mirror", "Band-KL above, mirrored Band-KL below", lower="mirror"),
    )
}


def methods() -> dict[str, Method]:
    """Every method by name: those of the literature, ours, and `band-NAME` for each registered divergence.

    >>> sorted(bandpo.methods())[:4]
    ['band-chi2', 'band-hellinger', 'band-jeffreys', 'band-js']
    """
    bands = {f"band-{name}": _band_method(name) for name in divergences() if f"band-{name}" not in _METHODS}
    return {**_METHODS, **bands}


def get_method(name: str) -> Method:
    """The method of that name; `band-alpha=1.5` is the band of the α-divergence with α = 1.5.

    Raises:
        ValueError: no method has that name.

    >>> bandpo.get_method("clip-higher").hyperparameters["eps_high"]
    0.28
    """
    if isinstance(name, str) and name in _METHODS:
        return _METHODS[name]
    if isinstance(name, str) and name.startswith("band-"):
        divergence = name.removeprefix("band-")
        if divergence in divergences() or divergence.startswith("alpha="):
            return _band_method(divergence)
    raise ValueError(f"method={name!r}: expected one of {', '.join(methods())} or band-alpha=NUMBER")
