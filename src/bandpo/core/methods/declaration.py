"""A method read off its rule: hyperparameters and inputs from the signature, the summary from the docstring."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from bandpo.core.checks import check_name
from bandpo.core.methods.method import ANCHORS, FAMILIES, SCOPES, Input, IntervalMethod, Method, RuleMethod


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


def _options(
    name: str, rule: Callable[..., Any], takes_tokens: bool, presets: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Input]]:
    parameters = list(inspect.signature(rule).parameters.values())
    unknown = presets.keys() - {parameter.name for parameter in parameters}
    if unknown:
        raise TypeError(f"presets of method {name!r}: its rule takes no {unknown.pop()!r}")
    if takes_tokens:
        if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(f"method {name!r}: expected a rule whose first argument is the tokens")
        del parameters[0]
    hints = typing.get_type_hints(rule, include_extras=True)
    hyperparameters, inputs = {}, {}
    for parameter in parameters:
        marks = [extra for extra in getattr(hints.get(parameter.name), "__metadata__", ()) if isinstance(extra, Input)]
        if marks:
            inputs[parameter.name] = marks[0]
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is not inspect.Parameter.empty:
            hyperparameters[parameter.name] = presets.get(parameter.name, parameter.default)
        elif parameter.name not in presets:
            raise TypeError(
                f"{parameter.name} of method {name!r}: expected a keyword with a default, or an input annotated "
                "Annotated[Tensor, Input(...)]"
            )
    return hyperparameters, inputs
