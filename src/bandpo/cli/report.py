"""`bandpo report`: one page for runs, comparisons and recorded batches."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from bandpo.cli.commands import Command
from bandpo.cli.console import console, user_errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(report)


def report(
    paths: Annotated[list[str], typer.Argument(help="Folders of runs or comparisons, and recorded batches.")],
    out: Annotated[str, typer.Option(help="Page to write; an earlier report is replaced.")] = "report.html",
    method: Annotated[
        str | None, typer.Option(help="Look at recorded batches with this method, as NAME:OPTION=VALUE.")
    ] = None,
) -> None:
    """Write a page that shows what happened, to open in any browser, offline.

    The summary in sentences, curves with intervals, which tokens the region
    stopped, in their text, samples, the inspection of recorded batches, and
    the settings. Paths may be of all kinds, in any mixture.

    Example:  bandpo report runs/band-kl --out report.html
    """
    with user_errors("report"):
        from bandpo.files.durable import write_file
        from bandpo.views.report.page import report as made
        from bandpo.views.report.page import size_of
        from bandpo.views.report.target import check_target
        from bandpo.views.specs import parse_specs

        target = check_target(out)
        specs = [] if method is None else parse_specs(method, option="--method")
        if len(specs) > 1:
            raise ValueError(f"--method {method}: expected one method")
        name, options = (specs[0].method, dict(specs[0].hyperparameters)) if specs else (None, None)
        page = made(paths, method=name, options=options)
        write_file(target, page)
    console.print(f"{escape(out)} ({size_of(page)}): open it in a browser")
