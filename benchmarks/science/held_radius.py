"""A radius that is not a number but a share: after every rollout δ moves so that as many tokens are stopped as asked.

    δ <- δ · ((stopped + s)/(target + s))^g, g = 1/2 and s = 0.002

where `stopped` is the share of the rollout's tokens that the loss stopped. A method of this study; the package holds δ.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

import bandpo
from bandpo.core.checks import check_number
from bandpo.core.regions.region import Region
from benchmarks.science.rules import Rule, register_study_method

NAME = "band-kl-held"
_GAIN, _FLOOR = 0.5, 0.002
_SMALLEST, _LARGEST = 1e-5, 1.0


def band_kl_held(*, stopped: float = 0.05, delta: float | Tensor = 0.05) -> Region:
    """Bound KL by a δ that `move_radii` moves until the share `stopped` of tokens is; `delta` is what it begins with.

    Raises:
        TypeError, ValueError: `stopped` is no share above 0 and at most a half, or δ is not what `band` takes.
    """
    check_number("stopped", stopped, 0.0, 0.5, low_open=True)
    return bandpo.band_region("kl", delta=delta)


def move_radii(rules: Sequence[Rule], stopped: Tensor) -> None:
    """Move the radii that are held by the share of tokens that the last rollout stopped, one a run.

    >>> register()
    >>> method = bandpo.get_method(NAME)
    >>> rule = Rule(method, method.resolve({"stopped": 0.05}), 0, 2)
    >>> move_radii([rule], torch.tensor([0.05, 0.206]))
    >>> rule.options["delta"].flatten()
    tensor([0.0500, 0.1000])
    """
    for rule in rules:
        if rule.method.name != NAME:
            continue
        share = stopped[rule.first : rule.last].view(-1, 1, 1)
        target = rule.options["stopped"]
        moved = rule.options["delta"] * ((share + _FLOOR) / (target + _FLOOR)) ** _GAIN
        rule.options["delta"] = moved.clamp(_SMALLEST, _LARGEST)


def register() -> None:
    """Let this process know the method by its name."""
    formula = "p f(r) + (1 - p) f((1 - r p)/(1 - p)) <= δ, with δ such that a share of tokens is stopped"
    register_study_method(NAME, band_kl_held, formula)
