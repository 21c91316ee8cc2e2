"""How every command reads its line: an option given twice is either a longer list or a mistake, never half lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperOption

from bandpo.cli.console import user_errors

# What a command has of Typer that hands on options it does not know.
FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}
# The metavar of an option that takes several values with commas between, and any number of times.
LIST = "A,B,.."


class Command(TyperCommand):
    """A command that joins the values of a repeated list option, and refuses another one with two values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with user_errors(str(ctx.info_name)):
            once = joined(args, self.params)
        return super().parse_args(ctx, once)


class Forwarding(Command):
    """A command that hands on what it does not know itself, which is then read by those rules too."""


def joined(args: Sequence[str], options: Sequence[Any]) -> list[str]:
    """Return the arguments with every option at most once.

    Args:
        args: what the user typed behind the command.
        options: Typer's options of that command.

    Raises:
        ValueError: an option that takes one value has two different ones.
    """
    known = {spelling: option for option in options if isinstance(option, TyperOption) for spelling in option.opts}
    kept: list[str] = []
    places: dict[str, int] = {}
    rest = list(args)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*kept, argument, *rest]
        spelling, has_value, value = argument.partition("=")
        option = known.get(spelling)
        if option is None or option.is_flag or option.nargs != 1 or not (has_value or rest):
            kept.append(argument)
            continue
        value = value if has_value else rest.pop(0)
        place = places.setdefault(str(option.name), len(kept))
        if place == len(kept):
            kept += [f"{spelling}={value}"]
        else:
            kept[place] = _together(kept[place], spelling, value, is_list=option.metavar == LIST)
    return kept


def _together(earlier: str, spelling: str, value: str, *, is_list: bool) -> str:
    """Return `--option=value` with another value of the same option."""
    before = earlier.partition("=")[2]
    if is_list:
        return f"{earlier},{value}"
    if before != value:
        raise ValueError(f"{spelling} is given twice, as {before!r} and {value!r}: expected one value")
    return earlier
