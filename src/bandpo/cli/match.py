"""`bandpo match`: radii that are equally tight, for given probabilities or on a recorded batch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from bandpo.cli.commands import LIST, Command
from bandpo.cli.console import console, user_errors
from bandpo.cli.numbers import numbers, short


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(match)


def match(
    eps: Annotated[str | None, typer.Option(metavar=LIST, help="Fixed clips ε.")] = None,
    delta: Annotated[float | None, typer.Option(help="Radius δ.")] = None,
    p: Annotated[str | None, typer.Option("--p", metavar=LIST, help="Old probabilities.")] = None,
    divergence: Annotated[str | None, typer.Option(metavar=LIST, help="Names; kl3 is ATR-GRPO's; or all.")] = None,
    batch: Annotated[str | None, typer.Option(help="Recorded batch: file, or folder of an engine.")] = None,
    clip_fraction: Annotated[float | None, typer.Option(help="Stop this share of its tokens.")] = None,
    like: Annotated[str | None, typer.Option(help="Stop as many as this method does.")] = None,
) -> None:
    """Print which radii are equally tight, for given p or on a recorded batch.

    Record one by `bandpo train --record-every 10`, or in a loop of your own:

    given = {"logp": logp, "logp_old": logp_old, "advantages": advantages}

    bandpo.record(FOLDER, mask=mask, **given)

    Then: bandpo match --batch FOLDER --like clip-higher (or --clip-fraction 0.05)

    Example:  bandpo match --eps 0.2 --p 0.1,0.5
    """
    with user_errors("match"):
        if batch is not None or clip_fraction is not None or like is not None:
            _refuse("a batch", {"--eps": eps, "--delta": delta, "--p": p, "--divergence": divergence})
            _match_batch(batch, clip_fraction, like)
        else:
            _match_tables(eps, delta, p, divergence)


def _refuse(beside: str, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if value is not None:
            raise ValueError(f"{option} {value}: expected without it, {beside} has tokens of its own")


def _match_tables(eps: str | None, delta: float | None, p: str | None, divergence: str | None) -> None:
    from bandpo.views.match import clip_of_radius, radius_of_ratio

    probabilities = numbers("--p", "0.01,0.1,0.5,0.9" if p is None else p)
    measures = _measures(divergence)
    if eps is None or delta is not None:
        radius = 0.05 if delta is None else delta
        rows = []
        for name in measures:
            below, above = zip(*(clip_of_radius(each, radius, name) for each in probabilities), strict=True)
            rows += [(name, "below", below), ("", "above", above)]
        _print_matches(f"ε that δ = {radius:g} equals", "side", probabilities, rows)
    if delta is None or eps is not None:
        clips = numbers("--eps", "0.2,0.28" if eps is None else eps)
        ratios = sorted(ratio for clip in clips for ratio in (1 - clip, 1 + clip))
        rows = [
            (name if number == 0 else "", f"{ratio:g}", [radius_of_ratio(each, ratio, name) for each in probabilities])
            for name in measures
            for number, ratio in enumerate(ratios)
        ]
        written = " and ".join(f"{clip:g}" for clip in clips)
        _print_matches(
            f"δ that ε = {written} equals (–: r p > 1, no policy gets there)", "ratio r", probabilities, rows
        )
    if divergence is None:
        console.print("Other divergences: --divergence all. By clip fraction: --batch FILE, see --help.")


def _print_matches(
    title: str, side: str, probabilities: Iterable[float], rows: Iterable[tuple[str, str, Iterable[float]]]
) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("divergence")
    for heading in (side, *(f"p = {p:g}" for p in probabilities)):
        table.add_column(heading, justify="right", min_width=9)
    for name, which, values in rows:
        table.add_row(name, which, *("–" if math.isinf(value) else short(value) for value in values))
    console.print(f"[bold]{title}[/bold]", table, sep="\n")


def _measures(text: str | None) -> list[str]:
    """Return the measures of `--divergence`; if not given, the paper's three and ATR-GRPO's."""
    from bandpo import get_divergence
    from bandpo.views.match import KL3, measures

    names = ["kl", "tv", "chi2", KL3] if text is None else [name.strip() for name in text.split(",")]
    if names == ["all"]:
        return measures()
    for name in names:
        if name != KL3:
            get_divergence(name)
    return names


def _match_batch(batch: str | None, clip_fraction: float | None, like: str | None) -> None:
    from bandpo.views.batch import clip_share, load_batch, matched
    from bandpo.views.specs import parse_specs

    if batch is None:
        option = f"--like {like}" if clip_fraction is None else f"--clip-fraction {clip_fraction:g}"
        raise ValueError(f"{option}: expected also --batch FILE, a recorded batch")
    if (clip_fraction is None) == (like is None):
        raise ValueError(f"--batch {batch}: expected also one of --clip-fraction and --like")
    if clip_fraction is not None and not 0 < clip_fraction < 1:
        raise ValueError(f"--clip-fraction {clip_fraction:g}: expected a share above 0 and below 1")
    recorded = load_batch(batch)
    if like is None:
        share, goal = clip_fraction, ""
    else:
        specs = parse_specs(like, option="--like")
        if len(specs) > 1:
            raise ValueError(f"--like {like}: expected one method")
        share, goal = clip_share(recorded, specs[0].method, **dict(specs[0].hyperparameters)), f", as {like} does"
        if share == 0:
            raise ValueError(f"--like {like}: it stops none of the {recorded.tokens} tokens of {batch}")
    assert share is not None
    table = Table("method", "tokens it stops")
    for label, stopped in matched(recorded, share).items():
        table.add_row(escape(label), "no radius is so wide" if stopped is None else f"{stopped:.2%}")
    console.print(
        f"[bold]Radii that stop {share:.2%} of {recorded.tokens} tokens{escape(goal)}[/bold]", table, sep="\n"
    )
