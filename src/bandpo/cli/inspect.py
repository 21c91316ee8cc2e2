"""`bandpo inspect`: recorded batches under the microscope, the verdict first, then the numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from bandpo.cli.commands import LIST, Command
from bandpo.cli.console import console, remark, user_errors
from bandpo.cli.numbers import short

if TYPE_CHECKING:
    from bandpo.microscope.inspection.inspection import Inspection

_MOST_METHODS = 12


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(inspect)


def inspect(
    files: Annotated[list[str], typer.Argument(help="Recorded batches, folders of them, or an engine's dumps.")],
    method: Annotated[str | None, typer.Option(help="Look at this method, as NAME:OPTION=VALUE.")] = None,
    target: Annotated[float, typer.Option(help="Advise the radius that stops this share of tokens.")] = 0.02,
    columns: Annotated[str | None, typer.Option(metavar=LIST, help="Columns of a table: logp_old=old_lp,..")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what the region did to recorded tokens, and whether log-probs agree.

    Record batches with `bandpo train --record-every 10`, TRL's option of that
    name or `bandpo.record(...)`; dumps of prime-rl, slime, miles, NeMo-RL, ROLL
    and tables of log-probs are read as they are.

    Example:  bandpo inspect runs/band-kl/batches
    """
    with user_errors("inspect"):
        from bandpo.microscope.inspection.inspect import inspect as look

        name, options = _method(method)
        found = look(files, method=name, options=options, target=target, columns=_columns(columns))
    for failure in found.failures:
        remark(f"left out: {failure.error}")
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=True, allow_nan=False, default=float))
    else:
        _print(found)


def _method(text: str | None) -> tuple[str | None, dict | None]:
    if text is None:
        return None, None
    from bandpo.views.specs import parse_specs

    specs = parse_specs(text, option="--method")
    if len(specs) > 1:
        raise ValueError(f"--method {text}: expected one method")
    return specs[0].method, dict(specs[0].hyperparameters)


def _columns(text: str | None) -> dict[str, str]:
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    for ours, separator, theirs in pairs:
        if not (ours.strip() and separator and theirs.strip()):
            raise ValueError(f"--columns {text}: expected OURS=THEIRS, such as logp_old=old_log_probs")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _print(found: Inspection) -> None:
    steps = sum(len(file.steps) for file in found.files)
    sequences = sum(file.sequences for file in found.files)
    console.print(
        f"{found.tokens:,} tokens of {sequences:,} sequences in {len(found.files)} files"
        + (f", {steps} steps" if steps else "")
    )
    for sentence in found.verdict:
        console.print(f"[bold]•[/bold] {escape(sentence)}", soft_wrap=True)
    for axis, title in (("probability", "By old probability"), ("side", "By side"), ("entropy", "By entropy, nats")):
        _print_shares(found, axis, title)
    _print_shares(found, "position", "By position")
    _print_noise(found)
    _print_radii(found)
    _print_methods(found)
    for sentence in found.closed:
        console.print(f"[dim]– {escape(sentence)}[/dim]", soft_wrap=True)


def _print_shares(found: Inspection, axis: str, title: str) -> None:
    rows = found.shares[axis]
    if not rows or not found.total.tokens:
        return
    table = _table(title, "tokens", "stopped", "share", "gradient dropped")
    for row in rows:
        dropped = f"{row.dropped_share:.1%}" if row.mass else "–"
        share = f"{row.stopped_share:.2%}" if row.tokens else "–"
        table.add_row(escape(row.label), f"{row.tokens:,}", f"{row.stopped:,}", share, dropped)
    console.print(table)


def _print_noise(found: Inspection) -> None:
    if not any(row.tokens for row in found.noise):
        return
    table = _table(
        "Noise at identical weights, |log r|", "tokens", "half below", "99 % below", "nearer bound", "filled"
    )
    for row in found.noise:
        width, share = row.width, row.share
        filled = "–" if share is None else f"{share:.1%}"
        bound = "–" if width is None else short(width)
        table.add_row(escape(row.label), f"{row.tokens:,}", short(row.median), short(row.q99), bound, filled)
    console.print(table)


def _print_radii(found: Inspection) -> None:
    radii = found.radii
    if radii is None or not radii.for_shares:
        return
    table = _table(f"Radii of {found.method.partition(':')[0]}", *radii.names)
    for share, radius in radii.for_shares.items():
        table.add_row(f"stops {float(share):.1%} of tokens", *[short(radius)] * len(radii.names))
    for divergence, radius in radii.for_divergences.items():
        table.add_row(f"holds a step to {float(divergence):g} nats a token", *[short(radius)] * len(radii.names))
    console.print(table)


def _print_methods(found: Inspection) -> None:
    known = [row for row in found.methods if row.cosine is not None]
    if not known:
        return
    table = _table(f"Methods on {found.sampled:,} of these tokens", "stopped", "gradient kept", "cosine")
    defaults = [row for row in known if not row.matched]
    matched = [row for row in known if row.matched]
    for row in [*sorted(defaults, key=lambda row: -(row.cosine or 0))[:_MOST_METHODS], *matched[:_MOST_METHODS]]:
        table.add_row(escape(row.method), f"{row.stopped:.2%}", f"{row.kept:.1%}", f"{row.cosine:.4f}")
    console.print(table)
    if len(known) > len(table.rows):
        console.print(f"[dim]{len(known) - len(table.rows)} more with --json[/dim]")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table
