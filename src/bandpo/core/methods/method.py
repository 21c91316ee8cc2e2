"""What a method is: a named point of the literature, a rule from hyperparameters to what a token may do.

There are two kinds. The rule of an `IntervalMethod` returns a region, whose bounds engines that clip can apply
themselves; the rule of a `RuleMethod` returns the loss of every token itself. `declaration` reads a method off its
rule, `registry` knows them all by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bandpo.core.checks import check_number, suggestion
from bandpo.core.regions.clipping import clip_to
from bandpo.core.regions.interval import Interval
from bandpo.core.regions.region import Region
from bandpo.core.regions.two_sides import Band
from bandpo.core.tokens import Surrogate, Tokens

FAMILIES = ("interval", "mask", "gate", "sequence", "bonus")
SCOPES = ("token", "sequence", "batch")
ANCHORS = ("old", "rollout")


class Input(NamedTuple):
    """Something a method needs besides log-probs, advantages and mask.

    Attributes:
        shape: its dimensions by name: "BT", "BTK" (K listed tokens), "BTV" (vocabulary), "BG" (group), "" for a number.
        summary: what it is, in a line.
        optional: whether the method does without.
        example: a value that every one of its entries may have, where a batch is made up; or a function from the
            log-probs of its tokens under anchor and policy, (B, T), to the input.

    >>> logp = torch.full((1, 3), -1.0)
    >>> Input("BG", "rewards of the group", example=0.5).made_up(logp, logp)
    tensor([[0.5000, 0.5000]])
    """

    shape: str
    summary: str
    optional: bool = False
    example: float | Callable[[Tensor, Tensor], Tensor] = 1.0

    def made_up(self, logp_anchor: Tensor, logp: Tensor, *, vocabulary: int = 1000) -> Tensor | float:
        """Return an example for tokens of these log-probs, (B, T)."""
        if callable(self.example):
            return self.example(logp_anchor, logp)
        sizes = {"B": logp.shape[0], "T": logp.shape[1], "K": 2, "V": vocabulary, "G": 2}
        return logp.new_full([sizes[axis] for axis in self.shape], self.example) if self.shape else self.example


@dataclass(frozen=True)
class Method:
    """A trust region by name.

    Attributes:
        name: the name `policy_loss` and every engine take.
        summary: what it does, in a line.
        formula: loss, bounds or weight of a token, as one line of text.
        citation: paper and equation.
        family: "interval", "mask", "gate", "sequence" or "bonus".
        rule: from hyperparameters and inputs to a region or, tokens first, to their loss.
        hyperparameters: every option it takes, with the authors' value.
        inputs: what else it needs, by name.
        anchor: whose log-probs the authors divide by, "old" or "rollout".
        scope: what the loss of one token depends on: the "token", its whole "sequence", or the "batch".
        ours: True where the method is this project's, not a paper's.
        experimental: what had to be inferred, "" where the published form is certain.
        scales_with_advantage: whether the loss of a token is proportional to its advantage.

    >>> method = bandpo.methods()["clip-higher"]
    >>> method.summary, method.citation
    ('Clip the ratio to 0.8 .. 1.28, wider above', 'DAPO, arXiv 2503.14476, eq. 8')
    """

    name: str
    summary: str
    formula: str
    citation: str
    family: str
    rule: Callable[..., Any] = field(repr=False)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Input] = field(default_factory=dict)
    anchor: str = "old"
    scope: str = "token"
    ours: bool = False
    experimental: str = ""
    scales_with_advantage: bool = True

    @property
    def per_token(self) -> bool:
        """Tell whether what a token may do depends on the token; False for a fixed clip."""
        return True

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the method's hyperparameters with `given` put over them.

        Raises:
            TypeError: an option the method does not take.
            ValueError: dual_clip is not above 1.
        """
        unknown = [name for name in given if name not in self.hyperparameters]
        if unknown:
            known = ", ".join(self.hyperparameters) or "none"
            needed = f"; its inputs: {', '.join(self.inputs)}" if self.inputs else ""
            near = suggestion(unknown[0], [*self.hyperparameters, *self.inputs])
            raise TypeError(f"method {self.name!r} takes no {unknown[0]!r}{near}; its hyperparameters: {known}{needed}")
        options = {**self.hyperparameters, **given}
        if options.get("dual_clip") is not None:
            check_number("dual_clip", options["dual_clip"], 1.0, math.inf, low_open=True)
        return options

    def take_inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the inputs this method uses out of `given`, by name.

        Raises:
            ValueError: one that it needs is missing.
        """
        for name, needed in self.inputs.items():
            if given.get(name) is None and not needed.optional:
                raise ValueError(f"method {self.name!r} needs {name}: {needed.summary}")
        return {name: given[name] for name in self.inputs if given.get(name) is not None}

    def split(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return `given` taken apart into the method's inputs and its resolved hyperparameters.

        Raises:
            TypeError: an option that is neither.
            ValueError: an input that the method needs is missing.
        """
        return self.take_inputs(given), self.resolve({n: value for n, value in given.items() if n not in self.inputs})

    def apply(
        self, tokens: Tokens, *, check: bool = False, one_sided: bool = False, bounds: bool = True, **options: Any
    ) -> tuple[Surrogate, Interval | None]:
        """Return the method's loss for these tokens, and its interval if it is one.

        Args:
            tokens: the batch.
            check: inspect log-probs and tensor radii.
            one_sided: the interval may be open on the side that a token's advantage cannot reach.
            bounds: False decides by g_f(p, r) > δ without solving for the bounds; the loss of a stopped token is -A r.
            **options: all inputs and resolved hyperparameters, see `split`.

        Raises:
            ValueError: bounds=False where no bounds are solved for.
        """
        raise NotImplementedError

    def interval(
        self, logp_old: Tensor, *, toward: Tensor | None = None, check: bool = True, **hyperparameters: Any
    ) -> Interval:
        """Return the log-ratio interval of every token; hyperparameters not given are the authors'.

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
        raise ValueError(f"method {self.name!r} has no interval, it is a {self.family}")

    def _has_no_root(self) -> ValueError:
        return ValueError(f"bounds=False with method={self.name!r}: expected a band, whose bounds are solved for")

    def validate(self, hyperparameters: Mapping[str, Any]) -> None:
        """Raise what the method raises for these hyperparameters, by running it on one made-up token."""
        logp = torch.full((1, 1), -1.0)
        tokens = Tokens(logp * 0, logp, logp, -logp, logp < 0)
        examples = {name: needed.made_up(logp, logp) for name, needed in self.inputs.items()}
        self.apply(tokens, **examples, **self.resolve(hyperparameters))


@dataclass(frozen=True)
class IntervalMethod(Method):
    """A method that bounds the ratio of every token: its rule returns a `Region`."""

    @property
    def per_token(self) -> bool:
        """Tell whether the bounds depend on the token; False where they are 1 - eps_low and 1 + eps_high for all."""
        region = self.region()
        return not isinstance(region, Band) or region.divergence is not None

    def region(self, **options: Any) -> Region:
        """Return the region of these hyperparameters and inputs; those not given are the authors'."""
        return self.rule(**{**self.hyperparameters, **options})

    def interval(
        self, logp_old: Tensor, *, toward: Tensor | None = None, check: bool = True, **hyperparameters: Any
    ) -> Interval:
        """Return the log-ratio interval of every token, see `Method.interval`."""
        inputs, options = self.split(hyperparameters)
        return self.rule(**inputs, **options).interval(logp_old, toward=toward, check=check)

    def apply(
        self, tokens: Tokens, *, check: bool = False, one_sided: bool = False, bounds: bool = True, **options: Any
    ) -> tuple[Surrogate, Interval | None]:
        """Return the clipped surrogate over the region's bounds and the bounds; without bounds, see `Method.apply`."""
        region = self.rule(**options)
        if not bounds:
            return self._without_bounds(region, tokens, check), None
        toward = tokens.advantages if one_sided else None
        interval = region.interval(tokens.logp_anchor, toward=toward, check=check)
        return clip_to(interval, tokens, region.dual_clip), interval

    def _without_bounds(self, region: Region, tokens: Tokens, check: bool) -> Surrogate:
        """Return gradient -A r inside the band and 0 outside, the clipped surrogate's; the loss is -A r on both."""
        if not isinstance(region, Band) or region.divergence is None:
            raise self._has_no_root()
        region.check(tokens.logp_anchor, check)
        loss = -tokens.advantages * torch.exp(tokens.log_ratio)
        return Surrogate(loss, torch.where(region.outside(tokens), 0.0, loss.detach()))


@dataclass(frozen=True)
class RuleMethod(Method):
    """A method that is no interval: its rule returns the `Surrogate` of the tokens."""

    def apply(
        self, tokens: Tokens, *, check: bool = False, one_sided: bool = False, bounds: bool = True, **options: Any
    ) -> tuple[Surrogate, Interval | None]:
        """Return what the rule returns, see `Method.apply`."""
        if not bounds:
            raise self._has_no_root()
        return self.rule(tokens, **options), None
