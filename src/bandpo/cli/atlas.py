"""`bandpo atlas`: a page with maps of every method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import track

from bandpo.cli.commands import Command
from bandpo.cli.console import console, user_errors
from bandpo.views.listing import by_family


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(atlas)


def atlas(
    out: Annotated[str, typer.Option(help="Page to write; one that is there is replaced.")] = "atlas.html",
) -> None:
    """Write a page with maps of every method, to open in any browser, offline.

    For each: how much of the policy gradient it lets through, over old
    probability and ratio, with sliders for its options, formula and source.

    Example:  bandpo atlas --out atlas.html
    """
    with user_errors("atlas"):
        import torch

        from bandpo.views.atlas import check_target, draw_sheet, render

        torch.set_num_threads(1)  # many small tensors: threads would only wait for each other
        target = check_target(out)
        sheets = [draw_sheet(method) for method in track(by_family(), "drawing the methods", console=console)]
        target.write_text(render(sheets), encoding="utf-8")
    console.print(
        f"{len(sheets)} methods in {escape(out)} ({Path(out).stat().st_size / 1e6:.1f} MB): open it in a browser"
    )
