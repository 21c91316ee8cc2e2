"""`bandpo data`: mathematics for training and evaluation, from the Hub or local files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bandpo.cli.console import console, user_errors

if TYPE_CHECKING:
    from bandpo.data import Report

data = typer.Typer(help="List and prepare data sets of mathematics.", no_args_is_help=True)

_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the two commands."""
    app.add_typer(data, name="data")


@data.command("list")
def list_datasets() -> None:
    """List the data sets known by name: where they are, their columns, size.

    Example:  bandpo data list
    """
    with user_errors("data list"):
        from bandpo.data import DATASETS, TEMPLATES

    table = Table(box=None, show_header=False, padding=(0, 1))
    for known in DATASETS.values():
        place = " ".join(filter(None, (known.hub, known.config, known.split)))
        table.add_row(known.name, known.size, f"{known.about}\n[dim]{place}: {', '.join(known.columns)}[/dim]")
    console.print(table)
    console.print(f"templates: {', '.join(TEMPLATES)}. Prepare one: bandpo data prepare NAME --out DIR")


@data.command()
def prepare(
    name: Annotated[str, typer.Argument(help="A name of `bandpo data list`, a file, a folder or a Hub id.")],
    out: Annotated[str, typer.Option(help="Folder to write to.")],
    form: Annotated[str, typer.Option("--format", help="trl, verl or both.")] = "both",
    template: Annotated[str, typer.Option(help="boxed, paper, none, or a text with {problem}.")] = "boxed",
    source: Annotated[str | None, typer.Option(help="File or folder in the data set's own format.")] = None,
    split: Annotated[str | None, typer.Option(help="Other than the usual one.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Test sets to keep out, commas between: aime24,amc23=FILE.")
    ] = None,
    near: Annotated[float, typer.Option(help="Least similarity of a near duplicate; 1 for exact ones.")] = 0.7,
    max_prompt_tokens: Annotated[int | None, typer.Option(help="Drop longer prompts.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Folder or Hub id of the model, to count tokens.")] = None,
    alternatives: Annotated[
        bool, typer.Option("--alternatives", help="An answer that is a list: each entry is right.")
    ] = False,
) -> None:
    """Write a data set as Parquet for TRL and verl, without duplicates.

    Drops problems that repeat, that are in a test set of --against, or that
    are too long; NAME.report.json says which.

    Example:  bandpo data prepare dapo-math-17k --out data --template paper --against aime24,aime25,amc23
    """
    with user_errors("data prepare"):
        from datasets import disable_progress_bars

        from bandpo.data import prepare as run
        from bandpo.data.reading import split_names

        disable_progress_bars()
        report = run(
            name,
            out,
            source=source,
            split=split,
            formats=("trl", "verl") if form == "both" else (form,),
            template=template,
            against=split_names(against) if against else (),
            near=near,
            max_prompt_tokens=max_prompt_tokens,
            tokenizer=_tokenizer(tokenizer) if tokenizer else None,
            alternatives=alternatives,
        )
    _print(report)


def _tokenizer(name: str) -> Any:
    from bandpo.store.sources import model_source

    return model_source(name)[1]


def _print(report: Report) -> None:
    dropped = {"repeated": report.repeated, "in a test set": report.in_tests, "too long": report.too_long}
    counts = ", ".join(f"{len(rows)} {what}" for what, rows in dropped.items())
    console.print(f"{report.name}: {report.kept} of {report.rows} problems kept ({counts})")
    for row in [*report.repeated, *report.in_tests][:_SHOWN]:
        how = "the same as" if row["similarity"] == 1 else f"{row['similarity']:.2f} like"
        console.print(f"  {row['id']} is {how} {row['of']}", highlight=False)
    for file in report.files:
        console.print(file, highlight=False, soft_wrap=True)
