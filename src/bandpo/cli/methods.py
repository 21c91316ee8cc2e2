"""`bandpo methods`: every method in a list, or one whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bandpo.cli.commands import Command
from bandpo.cli.console import console, user_errors
from bandpo.views.listing import ANCHORS, FAMILIES, SCOPES, by_family, describe, option_words, written
from bandpo.views.recommended import ADVICE

if TYPE_CHECKING:
    from bandpo.core.methods.method import Method

# Values under which an option does nothing, or what every band does.
_OFF = (None, False, "band")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(methods)


def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method whole.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the registry, or the method, as JSON.")] = False,
) -> None:
    """List every method, or show one whole: formula, source, inputs, options.

    Example:  bandpo methods dppo-topk-tv
    """
    with user_errors("methods"):
        listed = by_family() if name is None else [_method(name)]
    if as_json:
        entries = {method.name: describe(method) for method in listed}
        print(json.dumps(entries if name is None else entries[listed[0].name], indent=1, ensure_ascii=False))
    elif name is None:
        for family, heading in FAMILIES.items():
            members = [method for method in listed if method.family == family]
            console.print(f"[bold]{heading}[/bold]", _list_of(members), sep="\n")
        console.print("* ours, not a paper's   ? experimental   options that are off are not listed")
        console.print("One method whole: bandpo methods NAME. In pictures: bandpo atlas.")
        console.print("\n[bold]Which one?[/bold]", _advice(), sep="\n")
        console.print("How sure, and on what: docs/evidence.md.")
    else:
        console.print(_sheet_of(listed[0]))


def _method(name: str) -> Method:
    """Return the method of that name; raise ValueError with the nearest names if there is none."""
    from bandpo import get_method
    from bandpo import methods as registry
    from bandpo.core.checks import nearest

    try:
        return get_method(name)
    except ValueError:
        near = nearest(name, registry(), count=3, likeness=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ", see `bandpo methods`"
        raise ValueError(f"no method {name!r}{hint}") from None


def _list_of(listed: Iterable[Method]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(width=16, no_wrap=True)
    table.add_column(width=1)
    table.add_column(ratio=3)
    table.add_column(ratio=2, style="dim")
    for method in listed:
        options = (f"{key}={written(v)}" for key, v in method.hyperparameters.items() if v not in _OFF)
        marks = "*" * method.ours + "?" * bool(method.experimental)
        table.add_row(method.name, marks, escape(method.summary), escape(" ".join(options)))
    return table


def _advice() -> Table:
    """Return what to take for what; the method stands on a line of its own, to be copied whole."""
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(ratio=2)
    table.add_column(ratio=3)
    for advice in ADVICE:
        text = f"[bold]{escape(advice.spec)}[/bold]\n{escape(advice.reason)} [dim]({escape(advice.evidence)})[/dim]"
        table.add_row(escape(advice.purpose), text)
    return table


def _sheet_of(method: Method) -> Table:
    sheet = Table(
        box=None, show_header=False, padding=(0, 1), title=f"[bold]{method.name}[/bold]", title_justify="left"
    )
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column()
    lines = [
        ("does", method.summary),
        ("family", FAMILIES[method.family]),
        ("formula", method.formula),
        ("source", method.citation + (" (ours)" if method.ours else "")),
        ("anchor", ANCHORS[method.anchor]),
        ("depends on", SCOPES[method.scope]),
    ]
    for name, needed in method.inputs.items():
        shape = f"({', '.join(needed.shape)})" if needed.shape else "number"
        lines.append(("may take" if needed.optional else "needs", f"{name}, {shape}: {needed.summary}"))
    words = option_words(method)
    lines += [("option", f"{name} = {written(value)}: {words[name]}") for name, value in method.hyperparameters.items()]
    if method.experimental:
        lines.append(("experimental", method.experimental))
    for heading, text in lines:
        sheet.add_row(heading, escape(text))  # formulas have square brackets of their own
    return sheet
