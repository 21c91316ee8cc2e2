"""The commands that show methods and change nothing: methods, bounds, match, atlas."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import track
from rich.table import Table

from bandpo.cli.commands import LIST
from bandpo.cli.console import console, user_errors
from bandpo.views.listing import ANCHORS, FAMILIES, SCOPES, describe, option_words, written

if TYPE_CHECKING:
    from bandpo.core.methods.method import Method
    from bandpo.views.bounds import Row

# Values under which an option does nothing, or what every band does.
_OFF = (None, False, "band")
_MOST_NUMBERS = 1000


def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method whole.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the registry, or the method, as JSON.")] = False,
) -> None:
    """List every method, or show one whole: formula, source, inputs, options.

    Example:  bandpo methods dppo-topk-tv
    """
    with user_errors("methods"):
        chosen = _all_methods() if name is None else [_method(name)]
    if as_json:
        found = {method.name: describe(method) for method in chosen}
        print(json.dumps(found if name is None else found[chosen[0].name], indent=1, ensure_ascii=False))
    elif name is None:
        for family, heading in FAMILIES.items():
            members = [method for method in chosen if method.family == family]
            console.print(f"[bold]{heading}[/bold]", _list_of(members), sep="\n")
        console.print("* ours, not a paper's   ? experimental   options that are off are not listed")
        console.print("One method whole: bandpo methods NAME. In pictures: bandpo atlas.")
    else:
        console.print(_sheet_of(chosen[0]))


def _all_methods() -> list[Method]:
    """Every method, family by family, in the registry's order."""
    from bandpo import methods as registry

    return sorted(registry().values(), key=lambda method: list(FAMILIES).index(method.family))


def _method(name: str) -> Method:
    """The method of that name; ValueError with the nearest names if there is none."""
    from bandpo import get_method
    from bandpo import methods as registry
    from bandpo.core.checks import nearest

    try:
        return get_method(name)
    except ValueError:
        near = nearest(name, registry(), count=3, likeness=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ", see `bandpo methods`"
        raise ValueError(f"no method {name!r}{hint}") from None


def _list_of(chosen: Iterable[Method]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(width=16, no_wrap=True)
    table.add_column(width=1)
    table.add_column(ratio=3)
    table.add_column(ratio=2, style="dim")
    for method in chosen:
        options = (f"{key}={written(v)}" for key, v in method.hyperparameters.items() if v not in _OFF)
        marks = "*" * method.ours + "?" * bool(method.experimental)
        table.add_row(method.name, marks, escape(method.summary), escape(" ".join(options)))
    return table


def _sheet_of(method: Method) -> Table:
    sheet = Table(
        box=None, show_header=False, padding=(0, 1), title=f"[bold]{method.name}[/bold]", title_justify="left"
    )
    sheet.add_column(style="dim", no_wrap=True)
    sheet.add_column()
    said = [
        ("does", method.summary),
        ("family", FAMILIES[method.family]),
        ("formula", method.formula),
        ("source", method.citation + (" (ours)" if method.ours else "")),
        ("anchor", ANCHORS[method.anchor]),
        ("depends on", SCOPES[method.scope]),
    ]
    for name, needed in method.inputs.items():
        shape = f"({', '.join(needed.shape)})" if needed.shape else "number"
        said.append(("may take" if needed.optional else "needs", f"{name}, {shape}: {needed.summary}"))
    words = option_words(method)
    said += [("option", f"{name} = {written(value)}: {words[name]}") for name, value in method.hyperparameters.items()]
    if method.experimental:
        said.append(("experimental", method.experimental))
    for heading, text in said:
        sheet.add_row(heading, escape(text))  # formulas have square brackets of their own
    return sheet


def bounds(
    methods: Annotated[
        str, typer.Option(metavar=LIST, help="Options behind colons: clip-higher:eps_high=0.6.")
    ] = "band-kl,grpo",
    p: Annotated[
        str, typer.Option("--p", metavar=LIST, help="Old probabilities, marked in the drawing.")
    ] = "0.001,0.01,0.1,0.5,0.9,0.99",
    delta: Annotated[float | None, typer.Option(help="Radius of every method that takes one.")] = None,
    draw: Annotated[str | None, typer.Option(help="Draw them too: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Print how far methods let a token of probability p move.

    Ratio new/old, new probability and its change, each from .. to. A mask or a
    penalty is shown by where its gradient ends.

    Example:  bandpo bounds --methods band-kl,grpo,dcpo --delta 0.02 --draw b.png
    """
    with user_errors("bounds"):
        from bandpo.views.bounds import bound_rows

        curves = _curves(methods, delta)
        probabilities = _numbers("--p", p)
        tables = [(label, bound_rows(method, probabilities, **options)) for label, method, options in curves]
        if draw is not None:
            from bandpo.views.drawing import draw_bounds

            draw_bounds(curves, draw, marked=probabilities)
    console.print(_bounds_table(tables))
    if draw is not None:
        console.print(f"drawn in {escape(draw)}")


def _bounds_table(tables: list[tuple[str, list[Row]]]) -> Table:
    """As many of ratio, new probability and change as the terminal has room for, in that order."""
    for columns in (3, 2, 1):
        headings = ("method", "p", *("ratio", "new probability", "change")[:columns])
        table = Table(*headings, show_edge=False, pad_edge=False)
        for label, rows in tables:
            for number, row in enumerate(rows):
                spans = (_span(row.ratio), _span(row.probability), _span(row.change, sign="+"))[:columns]
                last = number == len(rows) - 1
                table.add_row(escape(label) if number == 0 else "", f"{row.p:g}", *spans, end_section=last)
        if Measurement.get(console, console.options.update(max_width=1000), table).maximum <= console.width:
            break
    return table


def _curves(text: str, delta: float | None) -> list[tuple[str, str, dict[str, Any]]]:
    """Label, method and options of each specification, with `delta` for those that take a radius and give none."""
    from bandpo import get_method
    from bandpo.views.specs import parse_specs

    specs = parse_specs(text, with_inputs=True)
    takes = [spec for spec in specs if "delta" in get_method(spec.method).hyperparameters]
    if delta is not None and not takes:
        raise ValueError(f"--delta {delta:g}: expected a method that takes a radius among {text}")
    return [
        (
            spec.label,
            spec.method,
            {**({"delta": delta} if delta is not None and spec in takes else {}), **dict(spec.hyperparameters)},
        )
        for spec in specs
    ]


def _numbers(option: str, text: str, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Numbers between commas, each strictly between `low` and `high`."""
    try:
        numbers = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not numbers or not all(low < number < high for number in numbers):
        between = f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
        raise ValueError(f"{option} {text}: expected numbers {between}, commas between")
    if len(numbers) > _MOST_NUMBERS:
        raise ValueError(f"{option}: {len(numbers):,} numbers, expected {_MOST_NUMBERS:,} at most")
    return numbers


def _span(ends: tuple[float, float], sign: str = "") -> str:
    return " .. ".join(_short(end, sign) for end in ends)


def _short(value: float, sign: str = "") -> str:
    """Three digits, without an exponent where a few zeros do."""
    if value == 0 or abs(value) < 1e-6:
        return "0"
    return f"{value:{sign}.3g}" if abs(value) < 1e-4 or abs(value) >= 1000 else f"{value:{sign}#.3g}".rstrip(".")


def match(
    eps: Annotated[str | None, typer.Option(metavar=LIST, help="Fixed clips ε.")] = None,
    delta: Annotated[float | None, typer.Option(help="Radius δ.")] = None,
    p: Annotated[str | None, typer.Option("--p", metavar=LIST, help="Old probabilities.")] = None,
    divergence: Annotated[str | None, typer.Option(metavar=LIST, help="Names; kl3 is ATR-GRPO's; or all.")] = None,
    batch: Annotated[str | None, typer.Option(help="Recorded batch, .safetensors or .npz.")] = None,
    clip_fraction: Annotated[float | None, typer.Option(help="Stop this share of its tokens.")] = None,
    like: Annotated[str | None, typer.Option(help="Stop as many as this method does.")] = None,
) -> None:
    """Print which radii are equally tight, for given p or on a recorded batch.

    Record one where your trainer computes its loss, mask optional:

    from safetensors.torch import save_file

    batch = {"logp": logp, "logp_old": logp_old, "advantages": advantages}

    save_file({k: v.detach().contiguous() for k, v in batch.items()}, FILE)

    Then: bandpo match --batch FILE --like clip-higher (or --clip-fraction 0.05)

    Example:  bandpo match --eps 0.2 --p 0.1,0.5
    """
    with user_errors("match"):
        if batch is not None or clip_fraction is not None or like is not None:
            given = {"--eps": eps, "--delta": delta, "--p": p, "--divergence": divergence}
            _refuse("a batch", given)
            _match_batch(batch, clip_fraction, like)
        else:
            _match_tables(eps, delta, p, divergence)


def _refuse(beside: str, given: dict[str, Any]) -> None:
    for option, value in given.items():
        if value is not None:
            raise ValueError(f"{option} {value}: expected without it, {beside} has tokens of its own")


def _match_tables(eps: str | None, delta: float | None, p: str | None, divergence: str | None) -> None:
    from bandpo.views.match import clip_of_radius, radius_of_ratio

    probabilities = _numbers("--p", "0.01,0.1,0.5,0.9" if p is None else p)
    chosen = _measures(divergence)
    if eps is None or delta is not None:
        radius = 0.05 if delta is None else delta
        rows = []
        for name in chosen:
            below, above = zip(*(clip_of_radius(one, radius, name) for one in probabilities), strict=True)
            rows += [(name, "below", below), ("", "above", above)]
        _print_matches(f"ε that δ = {radius:g} equals", "side", probabilities, rows)
    if delta is None or eps is not None:
        given = _numbers("--eps", "0.2,0.28" if eps is None else eps)
        ratios = sorted(ratio for one in given for ratio in (1 - one, 1 + one))
        rows = [
            (name if number == 0 else "", f"{ratio:g}", [radius_of_ratio(one, ratio, name) for one in probabilities])
            for name in chosen
            for number, ratio in enumerate(ratios)
        ]
        clips = " and ".join(f"{one:g}" for one in given)
        _print_matches(f"δ that ε = {clips} equals (–: r p > 1, no policy gets there)", "ratio r", probabilities, rows)
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
        table.add_row(name, which, *("–" if math.isinf(value) else _short(value) for value in values))
    console.print(f"[bold]{title}[/bold]", table, sep="\n")


def _measures(text: str | None) -> list[str]:
    """The measures of `--divergence`; if not given, the paper's three and ATR-GRPO's."""
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


def atlas(
    out: Annotated[str, typer.Option(help="Page to write; one that is there is replaced.")] = "atlas.html",
) -> None:
    """Write a page with maps of every method, to open in any browser, offline.

    For each: how much of the policy gradient it lets through, over old
    probability and ratio, with sliders for its options, formula and source.

    Example:  bandpo atlas --out atlas.html
    """
    with user_errors("atlas"):
        import torch

        from bandpo.views.atlas import check_target, draw_sheet, render

        torch.set_num_threads(1)  # many small tensors: threads would only wait for each other
        target = check_target(out)
        sheets = [draw_sheet(method) for method in track(_all_methods(), "drawing the methods", console=console)]
        target.write_text(render(sheets), encoding="utf-8")
    console.print(
        f"{len(sheets)} methods in {escape(out)} ({Path(out).stat().st_size / 1e6:.1f} MB): open it in a browser"
    )
