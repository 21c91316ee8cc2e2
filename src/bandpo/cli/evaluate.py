"""`bandpo eval`: sample a model on tasks, score the samples, compare two evaluations."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer
from rich.markup import escape

from bandpo.cli.commands import LIST, Command
from bandpo.cli.console import INTERRUPTED, console, fail, user_errors
from bandpo.cli.score_tables import print_comparison, print_scores
from bandpo.engines.common.json_objects import read_object
from bandpo.evals.settings import EvalSettings

_LISTS = ("tasks", "k")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="eval", cls=Command)(with_settings(evaluate))


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with every setting of an evaluation as an option before its own."""
    kinds = get_type_hints(EvalSettings)
    own = inspect.signature(command, eval_str=True).parameters.values()
    named = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    settings = [_option(field, kinds[field.name]) for field in dataclasses.fields(EvalSettings)]
    command.__signature__ = inspect.Signature([*settings, *named])  # pyright: ignore[reportFunctionMemberAccess]
    return command


def _option(field: dataclasses.Field, kind: Any) -> inspect.Parameter:
    """Return a setting as an option; what the line cannot hold as it is, is a text there."""
    is_text = field.name in _READERS
    spelling = ["--" + field.name] if kind is bool else []
    option = typer.Option(*spelling, help=field.metadata["help"], metavar=LIST if field.name in _LISTS else None)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if is_text else field.default,
        annotation=Annotated[(str | None) if is_text else kind, option],
    )


def evaluate(
    *,
    output_dir: Annotated[str | None, typer.Option(help="Resumes what was cut short.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="Two result folders, nothing else is done.")
    ] = None,
    **settings: Any,
) -> None:
    """Sample a model n times a problem: mean@n, unbiased pass@k, maj@k, entropy.

    Every sample is saved as it comes; the same command resumes.

    Example:  bandpo eval --model countdown --tasks countdown --n 8
    """
    with user_errors("eval"):
        if compare is not None:
            print_comparison(compare, output_dir)
            return
        from bandpo.evals.planning import plan
        from bandpo.rewards.functions import grader_limits

        grader_limits()
        values = {name: _READERS[name](name, value) if name in _READERS else value for name, value in settings.items()}
        planned = plan(EvalSettings(**values), output_dir, overwrite)
        where = str(planned.folder.path)
        if planned.is_complete:
            console.print(f"complete already, nothing to do: {escape(where)}/", soft_wrap=True)
        else:
            done, total = planned.samples_done(), planned.samples_total()
            begun = f"resuming with {done} of {total} samples" if done else f"{total} samples"
            model_name, by = escape(planned.config.model), escape(planned.config.engine)
            console.print(f"[bold]{model_name}[/bold] by {by}: {begun}, writing to {escape(where)}/", soft_wrap=True)
        try:
            result = planned.execute()
        except KeyboardInterrupt:
            saved, total = planned.samples_done(), planned.samples_total()
            again = f"the same command goes on (--output-dir {where})"
            fail("eval", f"stopped with {saved} of {total} samples saved; {again}", INTERRUPTED)
    print_scores(result)
    console.print(f"scores in {escape(where)}/result.json, samples beside it", soft_wrap=True)


def _numbers(name: str, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{name}={text!r}: expected whole numbers with commas between, such as 1,8,32") from None


def _mapping(name: str, text: str | None) -> dict[str, Any]:
    try:
        return {} if text is None else read_object(name, text)
    except ValueError as error:
        raise ValueError(f"{error}; write it as '{{\"enable_thinking\": false}}'") from None


_READERS = {"k": _numbers, "engine_kwargs": _mapping, "chat_template_kwargs": _mapping}
