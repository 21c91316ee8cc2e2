"""`bandpo recipe`: the paper's runs, printed, checked or launched."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bandpo.cli.commands import FORWARD, Forwarding
from bandpo.cli.console import accept_older_names, console, user_errors


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Forwarding, context_settings=FORWARD)(recipe)


def recipe(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help="One of the paper's models; without it, all are listed.")] = None,
    method: Annotated[str, typer.Argument(help="One of its methods.")] = "band-kl",
    engine: Annotated[str, typer.Option(help="verl, or trl for one machine.")] = "verl",
    data: Annotated[str, typer.Option(help="Folder that `bandpo data prepare` wrote.")] = "data",
    gpus: Annotated[int, typer.Option(help="GPUs of a machine.")] = 8,
    machines: Annotated[int, typer.Option(help="Machines, with verl.")] = 1,
    answer_line: Annotated[bool, typer.Option("--answer-line", help="Reward by the authors' rule.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Compose and validate, start nothing.")] = False,
    launch: Annotated[bool, typer.Option("--launch", help="Run it here and now.")] = False,
) -> None:
    """Print the command of one of the paper's runs, or launch it.

    All arms share trainer, reward, lengths and epochs. Further options and
    overrides are handed on to the engine.

    Example:  bandpo recipe qwen2.5-3b-instruct band-kl --gpus 8
    """
    with user_errors("recipe"):
        from bandpo.engines.common.releases import is_installed
        from bandpo.runs.paper import PaperRun, command, trl_options, validate_verl

        if model is None:
            console.print(_listing())
            return
        run = PaperRun(model, method, data=data, gpus=gpus, machines=machines, answer_line=answer_line)
        line = command(run, engine, context.args)
        if check and engine == "verl":
            if not is_installed("verl"):
                raise ValueError("--check with --engine verl: expected verl to be installed here")
            validate_verl(run, context.args)
        elif check:
            from bandpo.cli.options import parse_train

            accept_older_names()
            parse_train([*trl_options(run), *context.args])
        if launch and shutil.which(line[0]) is None:
            raise ValueError(f"--launch: no {line[0]!r} on the path, expected {engine} to be installed here")
    if check:
        console.print(f"{escape(run.name)} on {escape(engine)}: composed and valid")
    if launch:
        os.execvp(line[0], line)
    if not check:
        typer.echo(shlex.join(line[:1]) + "".join(_wrapped(line[1:])))


def _wrapped(parts: list[str]) -> list[str]:
    """Return the arguments as a shell command's lines: an option stays with its value."""
    lines: list[str] = []
    for part in parts:
        starts = part.startswith("-") or "=" in part
        lines.append((" \\\n    " if starts and lines else " ") + shlex.quote(part))
    return lines


def _listing() -> Table:
    from bandpo.runs.paper import arms, gpu_hours, models

    table = Table("model", "Hub id", "H200 hours a run, estimated", title="methods: " + ", ".join(arms()))
    for name, about in models().items():
        table.add_row(name, about["hub"], f"{gpu_hours(name):,.0f}")
    return table
