"""The commands of `bandpo`: train, compare, methods."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Probability-aware trust regions for RL of language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)
console = Console()

_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}


def _fail(command: str, message: object) -> NoReturn:
    print(f"bandpo {command}: {message}", file=sys.stderr)
    raise typer.Exit(2)


@contextmanager
def _user_errors(command: str) -> Iterator[None]:
    """A user's mistake is one line and exit code 2, without a traceback."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        _fail(command, error)


@app.command(context_settings=_FORWARD)
def train(
    context: typer.Context,
    config: Annotated[str | None, typer.Option(help="YAML file, or a recipe: countdown, general.")] = None,
    method: Annotated[str | None, typer.Option(help="Trust region, see `bandpo methods`.")] = None,
    band_delta: Annotated[str | None, typer.Option(help="Radius of the band.")] = None,
    method_kwargs: Annotated[str | None, typer.Option(help="""Its other options, '{"max_ratio": 10}'.""")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, Hub id or embedded task.")] = None,
    dataset: Annotated[str | None, typer.Option(help="File, folder, Hub id or embedded task.")] = None,
    reward: Annotated[str | None, typer.Option(help="Dotted reward function, TRL's signature.")] = None,
    seed: Annotated[str | None, typer.Option(help="Of data, sampling and weights.")] = None,
    output_dir: Annotated[str | None, typer.Option(help="Run folder; resumes what was cut short.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved options and stop.")] = False,
    help_all: Annotated[bool, typer.Option("--help-all", help="List every option, TRL's included.")] = False,
) -> None:
    """Train a model with a trust region, through TRL's GRPOTrainer.

    Without options: Band-KL on the embedded Countdown task, minutes on a CPU.
    Every option of TRL's GRPOConfig is a flag too; flags win over the YAML file.

    Example:  bandpo train --method clip-higher --learning-rate 2e-4 --seed 1
    """
    own = {
        "config": config,
        "method": method,
        "band_delta": band_delta,
        "method_kwargs": method_kwargs,
        "model": model,
        "dataset": dataset,
        "reward": reward,
        "seed": seed,
        "output_dir": output_dir,
    }
    flags = [part for name, value in own.items() if value is not None for part in (f"--{name}", value)]
    with _user_errors("train"):
        from bandpo.cli.options import parse_train, parser

        if help_all:
            print(parser().format_help())
            return
        from bandpo.runs.training import plan, resolved

        run, args = parse_train([*flags, *context.args])
        if dry_run:
            import yaml

            print(yaml.safe_dump({**resolved(run, args), "output_dir": args.output_dir}, sort_keys=False), end="")
            return
        planned = plan(run, args)
    if args.process_index == 0:
        origin = f"resuming from {Path(planned.checkpoint).name}" if planned.checkpoint else "starting"
        console.print(f"[bold]{args.method}[/bold] on {run.dataset}: {origin}, writing to {args.output_dir}/")
    try:
        result = planned.execute()
    except KeyboardInterrupt:
        kept = planned.folder.last_checkpoint()
        again = f"the same command resumes from {Path(kept).name}" if kept else "no checkpoint was written yet"
        print(f"\nbandpo train: stopped; {again} (output_dir {args.output_dir})", file=sys.stderr)
        raise typer.Exit(130) from None
    if args.process_index == 0:
        _print_result(result, str(args.output_dir))


def _print_result(result: dict, output_dir: str) -> None:
    before, after = result["before"], result["after"]
    if before is not None:
        table = Table("on held-out problems", "before", "after")
        for name in before:
            if name not in ("step", "problems"):
                table.add_row(name, f"{before[name]:.3f}", f"{after[name]:.3f}")
        console.print(table)
    console.print(f"{result['steps']} updates in {result['seconds']:.0f} s; model and metrics in {output_dir}/")


@app.command(context_settings=_FORWARD)
def compare(
    context: typer.Context,
    methods: Annotated[
        str, typer.Option(help="Commas between; options behind colons: clip-higher:eps_high=0.6.")
    ] = "grpo,clip-higher,band-kl,band-mirror",
    seeds: Annotated[str, typer.Option(help="How many (5 is 0-4), a range (100-109) or a list (1,2,5).")] = "5",
    out: Annotated[str, typer.Option(help="Folder of the comparison; what is complete is kept.")] = "runs/compare",
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; as many as cores.")] = None,
) -> None:
    """Train several methods over several seeds and compare them pairwise.

    All runs of a seed share data, start and evaluation. Writes results.json, table.md and curves.png. Options that
    are not listed here go to every `bandpo train`.

    Example:  bandpo compare --methods grpo,band-kl:delta=0.02 --seeds 3 --learning-rate 2e-4
    """
    with _user_errors("compare"):
        from bandpo.runs.comparison import parse_seeds, parse_specs, run_all, summarise, write_report

        specs, chosen = parse_specs(methods), parse_seeds(seeds)
        folder = Path(out)
        failed = run_all(specs, chosen, folder, context.args, jobs)
        if failed:
            _fail("compare", "\n".join([f"{len(failed)} runs failed:", *failed]))
        summary = summarise(specs, chosen, folder)
        print(write_report(summary, folder))
    console.print(f"table, plot and numbers in {folder}/")


@app.command()
def methods() -> None:
    """List every method with its hyperparameters and source.

    Example:  bandpo methods
    """
    from bandpo import methods as registry

    table = Table("method", "what it does", "hyperparameters", "source")
    for name, method in registry().items():
        options = ", ".join(f"{k}={v}" for k, v in method.hyperparameters.items() if v is not None)
        table.add_row(name, method.summary, options, ("ours; " if method.ours else "") + method.citation)
    console.print(table)
