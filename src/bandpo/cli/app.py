"""The commands of `bandpo`: train and compare here, others in files of their own."""

from __future__ import annotations

import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bandpo.cli import benchmarking, data, evaluating, recipe, seeing
from bandpo.cli.console import console, fail, user_errors
from bandpo.cli.doctor import doctor

app = typer.Typer(
    help="Probability-aware trust regions for RL of language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (seeing.methods, seeing.bounds, seeing.match, seeing.atlas, benchmarking.bench):
    app.command()(_command)

_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True}
_INTERRUPTED = 130

app.add_typer(data.data, name="data")
app.command(name="eval")(evaluating.evaluate)
app.command(context_settings=_FORWARD)(doctor)
app.command(context_settings=_FORWARD)(recipe.recipe)


@app.command(context_settings=_FORWARD)
def train(
    context: typer.Context,
    config: Annotated[str | None, typer.Option(help="YAML file or recipe: countdown, general, paper.")] = None,
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
    # Recipes name the option that every supported transformers has, not its newest spelling.
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
    with user_errors("train"):
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
    is_main = args.process_index == 0
    if is_main:
        origin = f"resuming from {Path(planned.checkpoint).name}" if planned.checkpoint else "starting"
        console.print(f"[bold]{args.method}[/bold] on {run.dataset}: {origin}, writing to {args.output_dir}/")
    try:
        result = planned.execute()
    except KeyboardInterrupt:
        kept = planned.folder.last_checkpoint()
        again = f"the same command resumes from {Path(kept).name}" if kept else "no checkpoint was written yet"
        if is_main:
            print(f"\nbandpo train: stopped; {again} (output_dir {args.output_dir})", file=sys.stderr)
        raise typer.Exit(_INTERRUPTED) from None
    if is_main:
        _print_result(result, str(args.output_dir))


def _print_result(result: dict, output_dir: str) -> None:
    before, after = result["before"], result["after"]
    if before is not None and after is not None:
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

    All runs of a seed share data, start and evaluation. Writes results.json,
    table.md and curves.png. Other options go to every `bandpo train`.

    Example:  bandpo compare --methods grpo,band-kl:delta=0.02 --seeds 3 --jobs 2
    """
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)
    # `kill` ends it as Ctrl-C does: the runs it started are not left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with user_errors("compare"):
        from bandpo.runs.comparison import parse_seeds, parse_specs, run_all, summarise, write_report

        specs, chosen, folder = parse_specs(methods), parse_seeds(seeds), Path(out)
        _check_runs(specs, chosen, folder, context.args)
        try:
            failed = run_all(specs, chosen, folder, context.args, jobs)
        except KeyboardInterrupt:
            fail("compare", f"stopped; the same command goes on where it was (out {out})", _INTERRUPTED)
        if failed:
            fail("compare", "\n".join([f"{len(failed)} runs failed:", *failed]), code=1)
        print(write_report(summarise(specs, chosen, folder), folder))
    console.print(f"table, plot and numbers in {folder}/")


def _check_runs(specs: list, seeds: list[int], out: Path, options: list[str]) -> None:
    """Raise ValueError at an option no run takes, or a run that is in `out` already with other options."""
    from bandpo.cli.options import parse_train
    from bandpo.runs.comparison import run_folder, train_arguments
    from bandpo.runs.training import resolved

    for option in ("--method", "--seed", "--output_dir", "--output-dir", "--overwrite"):
        if any(option == given.partition("=")[0] for given in options):
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
