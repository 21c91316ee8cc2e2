"""`bandpo bounds`: how far methods let a token move, in numbers and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from bandpo.cli.commands import LIST, Command
from bandpo.cli.console import console, user_errors
from bandpo.cli.numbers import numbers, short

if TYPE_CHECKING:
    from bandpo.views.bounds import Row


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(bounds)


def bounds(
    methods: Annotated[
        str, typer.Option(metavar=LIST, help="Options behind colons: clip-higher:eps_high=0.6.")
    ] = "band-kl,grpo",
    p: Annotated[
        str, typer.Option("--p", metavar=LIST, help="Old probabilities, marked in the drawing.")
    ] = "0.001,0.01,0.1,0.5,0.9,0.99",
    delta: Annotated[float | None, typer.Option(help="Radius of every method that takes one.")] = None,
    draw: Annotated[str | None, typer.Option(help="Draw them too: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Print how far methods let a token of probability p move.

    Ratio new/old, new probability and its change, each from .. to. A mask or a
    penalty is shown by where its gradient ends.

    Example:  bandpo bounds --methods band-kl,grpo,dcpo --delta 0.02 --draw b.png
    """
    with user_errors("bounds"):
        from bandpo.views.bounds import bound_rows

        curves = _curves(methods, delta)
        probabilities = numbers("--p", p)
        tables = [(label, bound_rows(method, probabilities, **options)) for label, method, options in curves]
        if draw is not None:
            from bandpo.views.drawing import draw_bounds

            draw_bounds(curves, draw, marked=probabilities)
    console.print(_bounds_table(tables))
    if draw is not None:
        console.print(f"drawn in {escape(draw)}")


def _bounds_table(tables: list[tuple[str, list[Row]]]) -> Table:
    """Return as many of ratio, new probability and change as the terminal has room for, in that order."""
    for columns in (3, 2, 1):
        headings = ("method", "p", *("ratio", "new probability", "change")[:columns])
        table = Table(*headings, show_edge=False, pad_edge=False)
        for label, rows in tables:
            for number, row in enumerate(rows):
                spans = (_span(row.ratio), _span(row.probability), _span(row.change, sign="+"))[:columns]
                last = number == len(rows) - 1
                table.add_row(escape(label) if number == 0 else "", f"{row.p:g}", *spans, end_section=last)
        if Measurement.get(console, console.options.update(max_width=1000), table).maximum <= console.width:
            break
    return table


def _curves(text: str, delta: float | None) -> list[tuple[str, str, dict[str, Any]]]:
    """Return label, method and options of each specification, with `delta` where a radius is taken and not given."""
    from bandpo import get_method
    from bandpo.views.specs import parse_specs

    specs = parse_specs(text, with_inputs=True)
    takes = [spec for spec in specs if "delta" in get_method(spec.method).hyperparameters]
    if delta is not None and not takes:
        raise ValueError(f"--delta {delta:g}: expected a method that takes a radius among {text}")
    return [
        (
            spec.label,
            spec.method,
            {**({"delta": delta} if delta is not None and spec in takes else {}), **dict(spec.hyperparameters)},
        )
        for spec in specs
    ]


def _span(ends: tuple[float, float], sign: str = "") -> str:
    return " .. ".join(short(end, sign) for end in ends)
