"""What every command shares: the terminal it prints on, and how a user's mistake ends."""

from __future__ import annotations

import codecs
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

# What to install for a module that an extra brings; where several do, the smallest.
_EXTRAS = {
    "plotly": "view",
    "jinja2": "view",
    "matplotlib": "view",
    "numpy": "view",
    "yaml": "cli",
    "flint": "math",
    "math_verify": "math",
    "datasketch": "math",
}
# Signs of our own texts in ASCII, for terminals and files that know nothing else.
_ASCII = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "eps", "λ": "lambda", "μ": "mu", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "π": "pi", "Δ": "Delta", "Σ": "Sum", "∇": "grad ", "ℓ": "loss",
    "−": "-", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">=", "±": "+-", "·": "*", "×": "x", "∞": "inf",
    "│": "|", "┃": "|", "─": "-", "━": "-",
}  # fmt: skip
_LONGEST_MESSAGE, _LONGEST_PAGE = 1000, 8000
# The exit code of a command that Ctrl-C ended.
INTERRUPTED = 130


def visible(text: str) -> str:
    """Return `text` with characters that a terminal acts on, or that hide or reorder others, written as escapes.

    Line ends and tabs stay. Everything of the Unicode categories Cc, Cf, Cs, Zl and Zp is escaped: control characters,
    text direction, zero width, and bytes of a file's name that are no text.

    >>> visible("a\\x1b[31mb\\u202ec\\n")
    'a\\\\x1b[31mb\\\\u202ec\\n'
    """
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" or not _is_active(char) else _escaped(char) for char in text)


def _is_active(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


class _Console(Console):
    """Rich's console, on which no text but its own styles reaches the terminal as an escape sequence."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


console = _Console()
# Remarks and warnings, apart from what a command prints for other programs to read.
remarks = _Console(stderr=True)


def remark(text: str) -> None:
    """Print a line on standard error, as it is."""
    remarks.print(text, markup=False, highlight=False, soft_wrap=True)


def accept_older_names() -> None:
    """Leave out transformers' warning of options by their older name, which every supported version of it has."""
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)


def write_anywhere() -> None:
    """Let standard output and error take every text: what their encoding lacks is written in ASCII."""
    codecs.register_error("bandpo.ascii", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="bandpo.ascii")  # pyright: ignore[reportAttributeAccessIssue]


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_one_in_ascii, error.object[error.start : error.end])), error.end


def _one_in_ascii(char: str) -> str:
    """Return a character in ASCII: a name of its own, the letter under its accent, or its number."""
    plain = unicodedata.normalize("NFKD", char)
    letters = "".join(_ASCII.get(part, part) for part in plain if not unicodedata.combining(part))
    return letters if letters and letters.isascii() else _escaped(char)


def fail(command: str, message: object, code: int = 2, *, longest: int = _LONGEST_MESSAGE) -> NoReturn:
    """End the command with its name and the message, cut to `longest` characters, on standard error."""
    text = visible(str(message))
    if len(text) > longest:
        text = f"{text[: longest * 2 // 3]} ... {text[-longest // 3 :]}"
    print(f"bandpo {command}: {text}", file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def user_errors(command: str) -> Iterator[None]:
    """End the command at a user's mistake with one line and exit code 2; at a missing package, say what to install."""
    try:
        yield
    except PackageNotFoundError as error:
        fail(command, error.name, code=1)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        fail(command, f"needs {missing}: pip install 'bandpo[{_EXTRAS.get(missing, 'train')}]'", code=1)
    except ImportError as error:
        fail(command, " ".join(str(error).split()), code=1)
    except (ValueError, TypeError, OSError, OverflowError) as error:
        # A page of its own, such as that of all bad rows of a data set, keeps its lines.
        page = getattr(error, "page", None)
        fail(command, page or " ".join(str(error).split()), longest=_LONGEST_PAGE if page else _LONGEST_MESSAGE)
