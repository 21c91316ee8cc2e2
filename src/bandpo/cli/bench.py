"""`bandpo bench`: speed of the operator and the loss against their peers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markdown import Markdown

from bandpo.cli.commands import LIST, Command
from bandpo.cli.console import console, user_errors

_LARGEST = 10**10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=Command)(bench)


def bench(
    sizes: Annotated[str, typer.Option(metavar=LIST, help="Numbers of tokens.")] = "1e3,3.3e4,1e6",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads of torch on the CPU.")] = 1,
    budget: Annotated[float, typer.Option(help="Seconds for each peer and size.")] = 1.0,
    out: Annotated[str | None, typer.Option(help="Folder to write speed_DEVICE.json and .md to.")] = None,
) -> None:
    """Measure Band-KL against bisection, stock PPO and a memory copy.

    Peers take turns in one process; ratios count, not milliseconds. Takes
    about a minute a size, most of it compiling.

    Example:  bandpo bench --sizes 1e4,1e6 --out speed
    """
    with user_errors("bench"):
        from bandpo.speed.report import bench as measure
        from bandpo.speed.report import markdown

        numbers = [_size(text) for text in sizes.split(",")]
        result = measure(numbers, out, device=device, threads=threads, budget=budget, tell=console.print)
    console.print(Markdown(markdown(result)))


def _size(text: str) -> int:
    try:
        size = int(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"--sizes {text!r}: expected a number of tokens, such as 1e6") from None
    if size > _LARGEST:
        raise ValueError(f"--sizes {text}: expected {_LARGEST:,} tokens at most")
    return size
