"""The `bandpo` command: one file a command, each of which adds itself; their order is that of the help."""

from __future__ import annotations

from typing import Annotated

import typer

from bandpo.cli import (
    atlas,
    bench,
    bounds,
    compare,
    data,
    doctor,
    evaluate,
    inspect,
    match,
    methods,
    recipe,
    report,
    train,
)

app = typer.Typer(
    help="Probability-aware trust regions for RL of language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (methods, bounds, match, inspect, report, atlas, bench, evaluate, doctor, recipe, train, compare, data):
    _command.register(app)


def _version(is_asked: bool) -> None:
    if is_asked:
        from bandpo import __version__

        print(f"bandpo {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Probability-aware trust regions for RL of language models."""
