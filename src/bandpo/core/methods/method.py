"""What a method is: a named point of the literature, a rule from tokens and hyperparameters to a per-token loss.

Interval methods have a region besides, from old log-probs to the log-ratio `Interval` of every token, which engines
that clip can apply themselves. the registry lists them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import check_number, suggestion
from bandpo.core.divergences.divergence import Divergence
from bandpo.core.regions.band import Interval
from bandpo.core.regions.band_options import BandOptions
from bandpo.core.regions.clipping import clip_to
from bandpo.core.regions.root_free import root_free_surrogate
from bandpo.core.tokens import Surrogate, Tokens

Region = Callable[..., Interval]
Rule = Callable[..., Surrogate]

FAMILIES = ("interval", "mask", "gate", "sequence", "bonus")
SCOPES = ("token", "sequence", "batch")


class Input(NamedTuple):
    """Something a method needs besides log-probs, advantages and mask.

    Attributes:
        shape: its dimensions by name: "BT", "BTK" (K listed tokens), "BTV" (vocabulary), "BG" (group), "" for a number.
        summary: what it is, in a line.
        optional: whether the method does without.
    """

    shape: str
    summary: str
    optional: bool = False


@dataclass(frozen=True)
class Method:
    """A trust region by name.

    Attributes:
        name: the name `policy_loss` and every engine take.
        summary: what it does, in a line.
        formula: loss, bounds or weight of a token, as one line of text.
        citation: paper and equation.
        family: "interval", "mask", "gate", "sequence" or "bonus".
        hyperparameters: every option it takes, with the authors' value.
        region: for intervals, (logp_old, check=..., **hyperparameters but dual_clip) -> Interval.
        divergence: for bands, what their radius measures; their region is then `band`.
        rule: for all others, (Tokens, **inputs, **hyperparameters) -> Surrogate.
        anchor: whose log-probs the authors divide by, "old" or "rollout".
        inputs: what else it needs, by name.
        scope: what the loss of one token depends on: the "token", its whole "sequence", or the "batch".
        ours: True where the method is this project's, not a paper's.
        experimental: what had to be inferred, "" where the published form is certain.
        per_token: False where the bounds are the same for every token, 1 - eps_low and 1 + eps_high.

    >>> method = bandpo.methods()["clip-higher"]
    >>> method.summary, method.citation
    ('fixed clip with a wider upper side, ratio 0.8 .. 1.28', 'DAPO, arXiv 2503.14476, eq. 8')
    """

    name: str
    summary: str
    formula: str
    citation: str
    family: str
    hyperparameters: Mapping[str, Any]
    region: Region | None = field(default=None, repr=False)
    divergence: Divergence | None = field(default=None, repr=False)
    rule: Rule | None = field(default=None, repr=False)
    anchor: str = "old"
    inputs: Mapping[str, Input] = field(default_factory=dict)
    scope: str = "token"
    ours: bool = False
    experimental: str = ""
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
            needed = f"; its inputs: {', '.join(self.inputs)}" if self.inputs else ""
            near = suggestion(unknown[0], [*self.hyperparameters, *self.inputs])
            raise TypeError(
                f"method {self.name!r} takes no {unknown[0]!r}{near}; its hyperparameters: {options}{needed}"
            )
        resolved = {**self.hyperparameters, **given}
        if resolved.get("dual_clip") is not None:
            check_number("dual_clip", resolved["dual_clip"], 1.0, math.inf, low_open=True)
        return resolved

    def interval(
        self, logp_old: Tensor, *, toward: Tensor | None = None, check: bool = True, **hyperparameters: Any
    ) -> Interval:
        """The log-ratio interval of every token; hyperparameters not given are the authors'.

        Args:
            logp_old: log-probs the ratio is divided by.
            toward: advantages of the same shape; a band then leaves the side their sign cannot reach open, see `band`.
            check: inspect log-probs and tensor radii.
            **hyperparameters: options and inputs of the method.

        Raises:
            ValueError: the method is not an interval.

        >>> bandpo.get_method("band-kl").interval(torch.tensor([0.1]).log(), delta=0.05).high.exp()
        tensor([2.2008])
        """
        if self.region is None:
            raise ValueError(f"method {self.name!r} has no interval, it is a {self.family}")
        inputs, options = self.split(hyperparameters)
        options.pop("dual_clip", None)
        return self.region(logp_old, check=check, **self._toward(toward), **inputs, **options)

    def _toward(self, advantages: Tensor | None) -> dict[str, Tensor]:
        """The argument that lets `band` solve for one bound alone; other regions cost nothing worth saving."""
        return {} if advantages is None or self.divergence is None else {"toward": advantages}

    def split(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """`given` taken apart into the method's inputs and its resolved hyperparameters.

        Raises:
            TypeError: an option that is neither.
            ValueError: an input that the method needs is missing.
        """
        return self.take_inputs(given), self.resolve({n: value for n, value in given.items() if n not in self.inputs})

    def take_inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs this method uses out of `given`, by name.

        Raises:
            ValueError: one that it needs is missing.
        """
        for name, needed in self.inputs.items():
            if given.get(name) is None and not needed.optional:
                raise ValueError(f"method {self.name!r} needs {name}: {needed.summary}")
        return {name: given[name] for name in self.inputs if given.get(name) is not None}

    def apply(
        self, tokens: Tokens, *, check: bool = False, one_sided: bool = False, **options: Any
    ) -> tuple[Surrogate, Interval | None]:
        """The method's loss for these tokens, and its interval if it is one.

        Args:
            tokens: the batch.
            check: inspect log-probs and tensor radii.
            one_sided: the interval may be open on the side that a token's advantage cannot reach.
            **options: all inputs and resolved hyperparameters, see `split`.
        """
        if self.region is None:
            assert self.rule is not None
            return self.rule(tokens, **options), None
        dual_clip = options.pop("dual_clip", None)
        toward = self._toward(tokens.advantages if one_sided else None)
        interval = self.region(tokens.logp_anchor, check=check, **toward, **options)
        return clip_to(interval, tokens, dual_clip), interval

    def apply_root_free(self, tokens: Tokens, *, check: bool = False, **options: Any) -> Surrogate:
        """The method's gradient without its bounds, see `root_free`; the loss of a stopped token is -A r.

        Raises:
            ValueError: the method is not a band.
        """
        if self.divergence is None:
            raise ValueError(f"bounds=False with method={self.name!r}: expected a band, whose bounds are solved for")
        dual_clip = options.pop("dual_clip", None)
        return root_free_surrogate(tokens, self.divergence, BandOptions(**options), dual_clip=dual_clip, check=check)

    def validate(self, hyperparameters: Mapping[str, Any]) -> None:
        """Raise what the method raises for these hyperparameters, by running it on one made-up token."""
        one = torch.full((1, 1), -1.0)
        tokens = Tokens(one * 0, one, one, -one, one < 0)
        sizes = {"B": 1, "T": 1, "K": 2, "V": 1000, "G": 2}
        examples = {n: -2 * torch.ones([sizes[s] for s in i.shape]) if i.shape else 1.0 for n, i in self.inputs.items()}
        self.apply(tokens, **examples, **self.resolve(hyperparameters))
