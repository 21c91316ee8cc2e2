"""What every command shares: the terminal it prints on, and how a user's mistake ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from rich.console import Console

console = Console()

# What to install for a module that an extra brings.
_EXTRAS = {
    "plotly": "view",
    "jinja2": "view",
    "yaml": "cli",
    "flint": "math",
    "math_verify": "math",
    "datasketch": "math",
}


def fail(command: str, message: object, code: int = 2) -> NoReturn:
    """End the command with one line on standard error."""
    print(f"bandpo {command}: {message}", file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def user_errors(command: str) -> Iterator[None]:
    """A user's mistake is one line and exit code 2, without a traceback; a missing package says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        fail(command, f"needs {missing}: pip install 'bandpo[{_EXTRAS.get(missing, 'train')}]'", code=1)
    except (ValueError, TypeError, OSError) as error:
        fail(command, " ".join(str(error).split()))
