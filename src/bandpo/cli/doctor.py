"""`bandpo doctor`: an engine's options as its user writes them, and the findings on one screen."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bandpo.cli.commands import FORWARD
from bandpo.cli.console import accept_older_names, console, user_errors
from bandpo.engines.common.json_objects import read_object
from bandpo.engines.common.options import WrittenOptions, flat

_FILES = (".yaml", ".yml", ".toml", ".json")
_MARKS = {"ok": "[green]ok[/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]FAIL[/red]"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings=FORWARD)(doctor)


def doctor(
    context: typer.Context,
    engine: Annotated[str | None, typer.Argument(help="trl, verl, ...; without it, what is installed.")] = None,
    batch: Annotated[list[str] | None, typer.Option(help="Recorded batches to look at too.")] = None,
) -> None:
    """Will the trust region act in this engine with these options?

    Options as the engine takes them: a YAML, TOML or JSON file, name=value,
    --name value; later ones win. Exit code 0 if it will act, 1 if not.

    Example:  bandpo doctor trl --num-iterations 2 --method band-kl
    Example:  bandpo doctor trl --trainer sdpo --distillation-weight 0.5
    Example:  bandpo doctor verl run.yaml actor_rollout_ref.actor.ppo_epochs=2
    Example:  bandpo doctor --batch runs/band-kl/batches
    """
    accept_older_names()
    with user_errors("doctor"):
        from bandpo.engines.doctor import diagnose, engines

        if engine is None and not batch:
            _print_table(((name, diagnose(name, {})[0]) for name in engines()), {**_MARKS, "fail": "[dim]–[/dim]"})
            return
        findings = [] if engine is None else diagnose(engine, read_options(context.args))
        if batch:
            from bandpo.engines.recorded import batch_findings

            findings += batch_findings(batch)
    _print_table([(None, finding) for finding in findings])
    will_act = all(finding.level != "fail" for finding in findings)
    verdict = "The trust region will act." if will_act else "The trust region will not act as asked."
    console.print(f"[bold]{verdict}[/bold]")
    console.print("Which region for what: the end of `bandpo methods`.")
    raise typer.Exit(0 if will_act else 1)


def _print_table(rows: Iterable[tuple[str | None, Any]], marks: Mapping[str, str] = _MARKS) -> None:
    table = Table.grid(padding=(0, 2))
    for column in range(3):
        table.add_column(overflow="fold", no_wrap=column < 2)
    for name, finding in rows:
        text = finding.text + (f"\n→ {finding.advice}" if finding.advice else "")
        table.add_row(name or "", marks[finding.level], Text(text))
    console.print(table)


def read_options(arguments: Iterable[str]) -> WrittenOptions:
    """Read options from files, name=value, --name=value and --name value, as dotted names; later ones win.

    Leading + and -- are dropped, hyphens in names become underscores. Values are read as YAML. Names given with a + are
    the result's `added`.

    Raises:
        ValueError: an argument that is none of these, a file that cannot be read.

    >>> read_options(["+actor.policy.band_delta=0.05", "--ppo-epochs", "2", "--use-kl"])
    {'actor.policy.band_delta': 0.05, 'ppo_epochs': 2, 'use_kl': True}
    """
    options: dict[str, Any] = {}
    added: set[str] = set()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--config" and rest:
            argument = rest.pop(0)
        name, has_value, value = argument.partition("=")
        if argument.endswith(_FILES) and not has_value:
            options.update(flat(_read_file(Path(argument))))
            continue
        if not has_value and not argument.startswith("--"):
            raise ValueError(f"{argument!r}: expected a file ({', '.join(_FILES)}), name=value or --name value")
        if not has_value:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        name = name.lstrip("+-~").replace("-", "_")
        if not name:
            raise ValueError(f"{argument!r}: expected a name before the =")
        values = flat({name: _read_yaml(value, argument)})
        options.update(values)
        if argument.startswith("+"):
            added.update(values)
    return WrittenOptions(options, added)


def _read_yaml(text: str, where: object) -> Any:
    import yaml

    from bandpo.cli.yaml_file import check_yaml

    try:
        check_yaml(text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{where}: not YAML, {error}") from None


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8, {error.reason}") from None
    if path.suffix == ".toml":
        if sys.version_info < (3, 11):
            raise ValueError(f"{path}: reading TOML needs Python 3.11 or newer")
        import tomllib

        try:
            content = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not TOML, {error}") from None
    else:
        content = read_object(str(path), text) if path.suffix == ".json" else _read_yaml(text, path)
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: expected names and values")
    return content
