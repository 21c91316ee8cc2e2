"""`bandpo compare`: methods trained over seeds and compared pairwise."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from bandpo.cli.commands import FORWARD, LIST, Forwarding
from bandpo.cli.console import INTERRUPTED, accept_older_names, console, fail, user_errors, visible


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Forwarding, context_settings=FORWARD)(compare)


def compare(
    context: typer.Context,
    methods: Annotated[
        str, typer.Option(metavar=LIST, help="Options behind colons: clip-higher:eps_high=0.6.")
    ] = "grpo,clip-higher,band-kl,band-mirror",
    seeds: Annotated[str, typer.Option(metavar=LIST, help="A count (5 is 0-4), a range (100-109), a list.")] = "5",
    out: Annotated[str, typer.Option(help="Folder of the comparison; what is complete is kept.")] = "runs/compare",
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; as many as cores.")] = None,
) -> None:
    """Train several methods over several seeds and compare them pairwise.

    All runs of a seed share data, start and evaluation. Writes results.json,
    table.md and curves.png. Other options go to every `bandpo train`.

    Example:  bandpo compare --methods grpo,band-kl:delta=0.02 --seeds 3 --jobs 2
    """
    accept_older_names()
    # `kill` ends it as Ctrl-C does: the runs it started are not left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with user_errors("compare"):
        from bandpo.runs.comparison import parse_seeds, parse_specs, run_all, summarise, write_report

        specs, numbers, folder = parse_specs(methods), parse_seeds(seeds), Path(out)
        _check_runs(specs, numbers, folder, context.args)
        try:
            failed = run_all(specs, numbers, folder, context.args, jobs)
        except KeyboardInterrupt:
            fail("compare", f"stopped; the same command goes on where it was (out {out})", INTERRUPTED)
        if failed:
            fail("compare", "\n".join([f"{len(failed)} runs failed:", *failed]), code=1)
        print(visible(write_report(summarise(specs, numbers, folder), folder)))
    console.print(f"table, plot and numbers in {escape(str(folder))}/", soft_wrap=True)


def _check_runs(specs: list, seeds: list[int], out: Path, options: list[str]) -> None:
    """Raise ValueError at an option no run takes, or a run that is in `out` already with other options."""
    from bandpo.cli.options import parse_train
    from bandpo.runs.comparison import run_folder, train_arguments
    from bandpo.runs.training import resolved

    for option in ("--method", "--seed", "--output_dir", "--output-dir", "--overwrite"):
        if any(option == argument.partition("=")[0] for argument in options):
            raise ValueError(f"{option}: expected --methods, --seeds and --out, from which every run's follow")
    for spec in specs:
        for number, seed in enumerate(seeds):
            folder = run_folder(out, spec, seed)
            if number == 0 or folder.config() is not None:
                config = resolved(*parse_train(train_arguments(out, spec, seed, options)))
                changed = folder.difference(config) if folder.config() is not None else None
                if changed:
                    raise ValueError(
                        f"{folder.path} holds a run with {changed}: expected the same options or another --out"
                    )
