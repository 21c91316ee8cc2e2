"""`bandpo train`: a run from recipe, YAML file and flags; what it would do with `--dry-run`; what it brought."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from typer.core import TyperCommand

from bandpo.cli.commands import FORWARD
from bandpo.cli.console import INTERRUPTED, accept_older_names, console, fail, remark, remarks, user_errors

if TYPE_CHECKING:
    from bandpo.engines.trl import BandGRPOConfig
    from bandpo.runs.training import RunArguments, RunView

# In docs/evidence.md, from the recipe's start, band-kl goes from .087 to .110 at 400 updates and to .125 at 1,200.
_SHORT_COUNTDOWN = 1000
_SHORT = (
    "a short run: from the recipe's start mean@32 rises by about 0.02 in 400 updates and 0.04 in 1,200 "
    "(docs/evidence.md), which the interval of one run hides"
)
_SWITCHES = ("--help", "-h", "--help-all", "--dry-run")


class TrainCommand(TyperCommand):
    """Reads its switches and leaves all options, those in its help too, to `parse_train`, in the order they stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        super().parse_args(ctx, [argument for argument in args if argument in _SWITCHES])
        ctx.args = [argument for argument in args if argument not in _SWITCHES]
        return ctx.args


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=TrainCommand, context_settings=FORWARD)(train)


def train(
    context: typer.Context,
    # The options most asked for, to be shown in the help; their values are in `context.args`, with all others.
    config: Annotated[str | None, typer.Option(help="YAML file or recipe: countdown, general, paper.")] = None,
    method: Annotated[str | None, typer.Option(help="Trust region, see `bandpo methods`.")] = None,
    band_delta: Annotated[str | None, typer.Option(help="Radius of the band.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="band-kl with the cap and dual clip of its authors.")] = False,
    method_kwargs: Annotated[str | None, typer.Option(help="""Its other options, '{"max_ratio": 10}'.""")] = None,
    model: Annotated[str | None, typer.Option(help="Folder, Hub id or embedded task.")] = None,
    dataset: Annotated[str | None, typer.Option(help="File, folder, Hub id or embedded task.")] = None,
    reward: Annotated[str | None, typer.Option(help="Dotted reward functions, TRL's signature.")] = None,
    seed: Annotated[str | None, typer.Option(help="Of data, sampling and weights.")] = None,
    output_dir: Annotated[str | None, typer.Option(help="Run folder; resumes what was cut short.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, print the options, stop.")] = False,
    help_all: Annotated[bool, typer.Option("--help-all", help="List every option, TRL's included.")] = False,
) -> None:
    """Train a model with a trust region, through TRL's GRPOTrainer.

    Without options: Band-KL on the embedded Countdown task, minutes on a CPU.
    Every option of TRL's GRPOConfig is a flag and a line of YAML too. Flags win
    over the YAML file, which lies over a recipe: countdown, or general once
    model, data or reward are yours. A line `recipe: NAME` takes another, and
    `recipe: none` takes TRL's defaults.

    Example:  bandpo train --method clip-higher --learning-rate 2e-4 --seed 1
    """
    accept_older_names()
    with user_errors("train"):
        from bandpo.cli.options import parse_train, parser

        if help_all:
            print(parser().format_help())
            return
        is_first = os.environ.get("RANK", "0") == "0"
        run, args = parse_train(context.args, remark if is_first else None)
        if dry_run:
            _print_checked(run, args)
            return
        from bandpo.runs.training import plan

        _quiet_loading()
        planned = plan(run, args, _live_view(run, args))
    is_main = args.process_index == 0
    where = str(args.output_dir)
    if is_main:
        origin = f"resuming from {Path(planned.checkpoint).name}" if planned.checkpoint else "starting"
        begun = f"[bold]{escape(args.method)}[/bold] on {escape(run.dataset)}: {escape(origin)}"
        console.print(f"{begun}, writing to {escape(where)}/", soft_wrap=True)
    from bandpo.store.reward_calls import RewardValueError

    try:
        result = planned.execute()
    except RewardValueError as error:
        fail("train", error, code=1)
    except KeyboardInterrupt:
        kept = planned.folder.last_checkpoint()
        again = f"the same command resumes from {Path(kept).name}" if kept else "no checkpoint was written yet"
        if is_main:
            remark(f"\nbandpo train: stopped; {again} (output_dir {where})")
        raise typer.Exit(INTERRUPTED) from None
    if is_main:
        _print_result(result, run.dataset, where)


def _print_checked(run: RunArguments, args: BandGRPOConfig) -> None:
    """Print the options of a run that passes every check it can pass before its model is loaded, and what is odd."""
    import yaml

    from bandpo.engines.doctor import diagnose
    from bandpo.runs.training import check, resolved

    check(run, args)
    options = {**resolved(run, args), "output_dir": args.output_dir}
    run_only = {"recipe", *vars(run)}
    for finding in diagnose("trl", {name: value for name, value in options.items() if name not in run_only}):
        if finding.level != "ok":
            remark(f"warning: {finding.text}" + (f"; {finding.advice}" if finding.advice else ""))
    print(yaml.safe_dump(options, sort_keys=False), end="")


def _live_view(run: RunArguments, args: BandGRPOConfig) -> RunView | None:
    """Return the live view, None where it was switched off or cannot be shown."""
    from bandpo.cli.live.terminal import can_show

    # TRL prints its table of completions where no view can put it.
    if not run.live_view or args.log_completions or args.process_index != 0 or not can_show(remarks, os.environ):
        return None
    from bandpo.cli.live.view import LiveView

    return LiveView(f"{args.method} on {run.dataset}")


def _quiet_loading() -> None:
    """Leave the bars of loading weights and data to terminals."""
    if not sys.stderr.isatty():
        import datasets
        from transformers.utils import logging

        datasets.disable_progress_bars()
        logging.disable_progress_bar()


def _print_result(result: Mapping[str, Any], dataset: str, output_dir: str) -> None:
    before, after = result["before"], result["after"]
    if before is not None and after is not None:
        console.print(_scores_table(before, after))
        if any("errors" in record for record in (before, after)):
            console.print(f"± standard error over the {after['problems']} problems; runs of other seeds differ by more")
    if dataset == "countdown" and result["steps"] < _SHORT_COUNTDOWN:
        console.print(_SHORT, soft_wrap=True)
    console.print(
        f"{result['steps']} updates in {result['seconds']:.0f} s; model and metrics in {escape(output_dir)}/",
        soft_wrap=True,
    )


def _scores_table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table:
    table = Table("on held-out problems", "before", "after")
    for name in before:
        if name not in ("step", "problems", "errors"):
            table.add_row(escape(name), _with_error(before, name), _with_error(after, name))
    return table


def _with_error(record: Mapping[str, Any], name: str) -> str:
    """Return a score for people, an en dash where no answer has a reward."""
    value, error = record[name], record.get("errors", {}).get(name)
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.3f}" + ("" if error is None else f" ± {error:.3f}")
