"""A method read off its rule: hyperparameters and inputs from the signature, the summary from the docstring."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bandpo.core.checks import check_name
from bandpo.core.methods.method import ANCHORS, FAMILIES, SCOPES, Input, IntervalMethod, Method, RuleMethod

Rule = TypeVar("Rule", bound=Callable[..., Any])
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def declared(
    name: str, rule: Callable[..., Any], family: str, presets: Mapping[str, Any] | None = None, **facts: Any
) -> Method:
    """Return the method that a rule is.

    Keyword-only parameters with a default are its hyperparameters; those annotated `Annotated[Tensor, Input(...)]` are
    its inputs. The rule of an interval takes nothing else, every other one takes the tokens first.

    Args:
        name: lower-case letters, digits and hyphens.
        rule: the function, with a docstring.
        family: "interval", "mask", "gate", "sequence" or "bonus".
        presets: where one rule serves several methods, what sets this one apart: a default of its own for a
            hyperparameter, or the value of a keyword without a default, which is then none of its hyperparameters.
        **facts: other attributes of `Method`.

    Raises:
        TypeError: a parameter that is neither.
        ValueError: a malformed name, an unknown family, anchor or scope, a rule without a docstring.

    >>> def halved(tokens, *, factor: float = 0.5):
    ...     \"\"\"Halve the gradient.\"\"\"
    >>> declared("halved", halved, "gate", formula="-A r/2", citation="nobody").hyperparameters
    {'factor': 0.5}
    """
    check_name(name, "my-method")
    for fact, value, known in (
        ("family", family, FAMILIES),
        ("anchor", facts.get("anchor", "old"), ANCHORS),
        ("scope", facts.get("scope", "token"), SCOPES),
    ):
        if value not in known:
            raise ValueError(f"{fact}={value!r} of method {name!r}: expected one of {', '.join(map(repr, known))}")
    summary = (inspect.getdoc(rule) or "").partition("\n")[0].rstrip(".")
    if not summary:
        raise ValueError(f"method {name!r}: expected a docstring, whose first line says what the method does")
    hyperparameters, inputs = _options(name, rule, family != "interval", presets or {})
    kind = IntervalMethod if family == "interval" else RuleMethod
    bound = {name: value for name, value in (presets or {}).items() if name not in hyperparameters}
    rule = functools.partial(rule, **bound) if bound else rule
    return kind(name, summary, family=family, rule=rule, hyperparameters=hyperparameters, inputs=inputs, **facts)


def options_of(function: Callable[..., Any]) -> Callable[[Rule], Rule]:
    """Let a rule that takes `**options` take all that have a default in another function, as they are documented there.

    >>> def near(logp, width=0.1): ...
    >>> @options_of(near)
    ... def rule(*, dual_clip=None, **options): ...
    >>> inspect.signature(rule)
    <Signature (*, width=0.1, dual_clip=None)>
    """

    def take(rule: Rule) -> Rule:
        *named, _ = inspect.signature(rule).parameters.values()
        others = [x for x in inspect.signature(function).parameters.values() if x.default is not x.empty]
        taken = [x.replace(kind=_KEYWORD) for x in others if x.name not in {x.name for x in named}]
        signature = inspect.Signature(sorted([*taken, *named], key=lambda x: x.kind))
        rule.__dict__.update(__signature__=signature, documented=function)
        return rule

    return take


def _options(
    name: str, rule: Callable[..., Any], takes_tokens: bool, presets: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Input]]:
    parameters = list(inspect.signature(rule).parameters.values())
    unknown = presets.keys() - {parameter.name for parameter in parameters}
    if unknown:
        raise TypeError(f"presets of method {name!r}: its rule takes no {unknown.pop()!r}")
    if takes_tokens:
        if not parameters or parameters[0].kind is _KEYWORD:
            raise TypeError(f"method {name!r}: expected a rule whose first argument is the tokens")
        del parameters[0]
    hints = typing.get_type_hints(rule, include_extras=True)
    hyperparameters, inputs = {}, {}
    for parameter in parameters:
        mark = _mark(hints.get(parameter.name))
        if mark is not None:
            inputs[parameter.name] = mark
        elif parameter.kind is _KEYWORD and parameter.default is not inspect.Parameter.empty:
            hyperparameters[parameter.name] = presets.get(parameter.name, parameter.default)
        elif parameter.name not in presets:
            raise TypeError(
                f"{parameter.name} of method {name!r}: expected a keyword with a default, or an input annotated "
                "Annotated[Tensor, Input(...)]"
            )
    return hyperparameters, inputs


def _mark(hint: Any) -> Input | None:
    """Return the Input that an annotation carries; Python 3.10 puts Optional around one whose default is None."""
    parts = [hint, *typing.get_args(hint)] if typing.get_origin(hint) is typing.Union else [hint]
    extras = (extra for part in parts for extra in getattr(part, "__metadata__", ()))
    return next((extra for extra in extras if isinstance(extra, Input)), None)
