"""Input checks shared by the core: every message names the argument, its value and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch._subclasses import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.fx.experimental.proxy_tensor import get_innermost_proxy_mode

Function = TypeVar("Function", bound=Callable[..., Any])

# Rounding can push the log-prob of a near-certain token above 0: a little in fp32, visibly in 16-bit formats.
_POSITIVE_SLACK = {torch.bfloat16: 0.125, torch.float16: 0.02}


def is_transformed(tensor: Tensor) -> bool:
    """Return whether the tensor is inside a transform of `torch.func`, such as vmap or grad."""
    if torch.compiler.is_compiling():
        return False
    # Private, but the one test of its kind.
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # pyright: ignore[reportAttributeAccessIssue]


def is_fake(tensor: Tensor) -> bool:
    """Return whether the tensor has a shape and a device but no values: on `meta`, fake, or in an export."""
    return tensor.is_meta or isinstance(tensor, (FakeTensor, FunctionalTensor))


def is_traced() -> bool:
    """Return whether this code is being compiled, exported or traced by make_fx rather than run."""
    return torch.compiler.is_compiling() or get_innermost_proxy_mode() is not None


def constant_in_compiled_code(function: Function) -> Function:
    """Have a compiler call the function once, with constants, and keep what it returns instead of tracing it.

    What `torch.compiler.assume_constant_result` does; calling that would import the whole compiler with this module.
    """
    function._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]
    return function


def can_inspect(*tensors: Tensor | None) -> bool:
    """Return whether Python may look at values: not in code being compiled or traced, under vmap, or of fakes."""
    if is_traced():
        return False
    return not any(is_transformed(t) or is_fake(t) for t in tensors if t is not None)


def check_floating(name: str, tensor: object) -> None:
    """Raise TypeError unless `tensor` is a floating-point tensor."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point tensor, got dtype {tensor.dtype}")


def check_logp(name: str, logp: Tensor) -> None:
    """Raise ValueError at the first position that is NaN or positive beyond rounding."""
    _raise_at(name, logp, ~(logp <= positive_slack(logp)), "a log-prob, at most 0")


def check_inside(name: str, logp: Tensor, mask: Tensor) -> None:
    """Raise ValueError at the first position inside the mask that is NaN, infinite or positive beyond rounding."""
    _raise_at(
        name, logp, ~((logp <= positive_slack(logp)) & torch.isfinite(logp)) & mask, "a finite log-prob, at most 0"
    )


def check_finite(name: str, tensor: Tensor, mask: Tensor) -> None:
    """Raise ValueError at the first position inside the mask that is NaN or infinite."""
    _raise_at(name, tensor, ~torch.isfinite(tensor) & mask, "a finite number")


def check_numbers(name: str, tensor: Tensor, mask: Tensor) -> None:
    """Raise ValueError at the first position inside the mask that is NaN; infinities are numbers here."""
    _raise_at(name, tensor, torch.isnan(tensor) & mask, "a number")


def check_binary(name: str, tensor: Tensor) -> None:
    """Raise ValueError at the first position that is neither 0 nor 1."""
    _raise_at(name, tensor, (tensor != 0) & (tensor != 1), "0 or 1; scale the advantages to weigh tokens")


def positive_slack(logp: Tensor) -> float:
    """Return how far above 0 rounding may have pushed the largest of these log-probs."""
    return _POSITIVE_SLACK.get(logp.dtype, 1e-4)


def _raise_at(name: str, tensor: Tensor, wrong: Tensor, expected: str) -> None:
    if wrong.any():
        position = tuple(wrong.nonzero()[0].tolist())
        where = f"{name}[{', '.join(map(str, position))}]" if position else name
        raise ValueError(f"{where} = {tensor[position].item():g}: expected {expected}")


class RadiusLimits(NamedTuple):
    """The ends of a radius: the smallest that is right, the divergence's supremum, the solvers' limit."""

    smallest: float
    supremum: float
    limit: float


def check_radius(name: str, delta: float | Tensor, shape: torch.Size, limits: RadiusLimits, inspect: bool) -> None:
    """Raise unless δ is positive, within the limits, and broadcasts to `shape`.

    The values of a tensor are looked at only with `inspect`.
    """
    if isinstance(delta, Tensor):
        _check_radius_tensor(name, delta, shape)
        if inspect and can_inspect(delta):
            wrong = ~((delta >= limits.smallest) & (delta < min(limits.supremum, limits.limit)))
            if wrong.any():
                value = delta[wrong][0].item()
                raise ValueError(f"{name} holds {value:g}: {_expected_radius(name, value, limits)}")
        return
    if isinstance(delta, bool) or not isinstance(delta, (int, float)):
        raise TypeError(f"{name}={delta!r}: expected a number or a tensor")
    if not limits.smallest <= delta < limits.limit:
        raise ValueError(f"{name}={delta!r}: {_expected_radius(name, delta, limits)}")
    if delta >= limits.supremum:
        raise ValueError(
            f"{name}={delta!r} allows every policy, the divergence never exceeds {limits.supremum:g}: "
            f"{_expected_radius(name, delta, limits)}, or method 'no-clip'"
        )


def broadcasts_to(shape: torch.Size, wanted: torch.Size) -> bool:
    """Return whether a tensor of this shape can be expanded to the wanted one.

    >>> from bandpo.core.checks import broadcasts_to
    >>> broadcasts_to(torch.Size([3, 1]), torch.Size([3, 5])), broadcasts_to(torch.Size([3]), torch.Size([3, 5]))
    (True, False)
    """
    fewer = len(wanted) - len(shape)
    return fewer >= 0 and all(one in (1, size) for one, size in zip(shape, wanted[fewer:], strict=True))


def _check_radius_tensor(name: str, delta: Tensor, shape: torch.Size) -> None:
    if not delta.is_floating_point():
        raise TypeError(f"{name}: expected a floating-point tensor, got dtype {delta.dtype}")
    if not broadcasts_to(delta.shape, shape):
        raise ValueError(f"{name} has shape {tuple(delta.shape)}: expected one that broadcasts to {tuple(shape)}")


def _expected_radius(name: str, value: float, limits: RadiusLimits) -> str:
    if 0 < value < limits.smallest:
        return f"expected {name} >= {limits.smallest:g}, below which the bounds of this divergence lose their digits"
    return f"expected 0 < {name} < {min(limits.supremum, limits.limit):g}"


def check_number(
    name: str, value: object, low: float, high: float, *, low_open: bool = False, high_closed: bool = False
) -> float:
    """Return `value` as a float, or raise unless it is a number in [low, high), an end open or closed where said.

    >>> from bandpo.core.checks import check_number
    >>> check_number("progress", 1, 0.0, 1.0, high_closed=True)
    1.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}={value!r}: expected a number")
    if not ((value > low if low_open else value >= low) and (value <= high if high_closed else value < high)):
        left, right = "<" if low_open else "<=", "<=" if high_closed else "<"
        raise ValueError(f"{name}={value!r}: expected {low:g} {left} {name} {right} {high:g}")
    return float(value)


def check_name(name: str, example: str) -> None:
    """Raise ValueError unless it is a name to register something under, such as the example."""
    if not name or name != name.lower() or not name.replace("-", "").isalnum():
        raise ValueError(f"name={name!r}: expected lower-case letters, digits and hyphens, such as {example!r}")


def nearest(wrong: str, known: Iterable[str], count: int = 1, likeness: float = 0.6) -> list[str]:
    """Return the names nearest to a wrong one, best first; capitals, hyphens and underscores count for nothing.

    Args:
        wrong: what was given.
        known: what there is.
        count: so many names at most.
        likeness: least ratio of letters in common, 0 to 1.

    >>> from bandpo.core.checks import nearest
    >>> nearest("Band_KL", ["grpo", "band-kl", "band-tv"]), nearest("bandkl", ["band-kl"]), nearest("x", ["grpo"])
    (['band-kl'], ['band-kl'], [])
    """
    letters = {name: _letters(name) for name in known}
    close = get_close_matches(_letters(wrong), list(dict.fromkeys(letters.values())), count, likeness)
    names = [name for name, plain in letters.items() if plain in close]
    return sorted(names, key=lambda name: SequenceMatcher(None, wrong, name).ratio(), reverse=True)[:count]


def _letters(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def suggestion(wrong: object, known: Iterable[str], otherwise: str = "") -> str:
    """Return the end of an error at an unknown name: the nearest one, or `otherwise` where none is near.

    >>> from bandpo.core.checks import suggestion
    >>> suggestion("clip-hihger", ["clip-higher", "grpo"])
    "; did you mean 'clip-higher'?"
    """
    near = nearest(str(wrong), known)
    return f"; did you mean {near[0]!r}?" if near else f"; {otherwise}" if otherwise else ""
