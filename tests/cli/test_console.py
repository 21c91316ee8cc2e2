"""What reaches a terminal: no character of a name that it would act on, in any encoding."""

import subprocess
import sys

import pytest
from rich.table import Table
from rich.text import Text

from bandpo.cli.console import console, visible

ACTIVE = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "a\rb",
    "a\u202eb",
    "a\u200fb",
    "a\u2066b",
    "a\u200bb",
    "\x9b31m",
    "\udcff",
]


@pytest.mark.parametrize("text", ACTIVE, ids=ascii)
def test_active_characters_are_shown_not_sent(text):
    shown = visible(text)
    assert shown.isprintable() and "\\" in shown and visible(shown) == shown


@pytest.mark.parametrize("text", ["δ ≤ 0.05 ± 日本", "two\nlines", "a\tb", "[brackets]", "naïve"])
def test_ordinary_text_is_left_as_it_is(text):
    assert visible(text) == text


@pytest.mark.parametrize("text", ACTIVE[:-1], ids=ascii)
def test_no_way_of_printing_lets_them_through(text):
    table = Table(text)
    table.add_row(text)
    with console.capture() as capture:
        console.print(text, Text(text), table, markup=False)
    assert all(char.isprintable() or char == "\n" for char in capture.get())


COMMANDS = [["match"], ["methods", "sapo"], ["methods"], ["bounds"], ["data", "list"]]
ALL_OF_THEM = f"""
import sys
from bandpo.cli import main
for words in {COMMANDS!r}:
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as ending:
        assert not ending.code, words
    print(words)
"""


@pytest.mark.parametrize(
    "encoding", ["ascii", "cp1252", *(pytest.param(name, marks=pytest.mark.slow) for name in ("utf-8", "latin-1"))]
)
def test_commands_print_in_every_encoding(encoding, tmp_path):
    import os

    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", ALL_OF_THEM], capture_output=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.decode(encoding)
    for words in COMMANDS:
        text, _, parts = parts.partition(f"{words}\n")
        assert text.strip(), words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--config", "\x1b[31m.yaml"], "\\x1b[31m.yaml: no such file"),
        (["train", "--dataset", "[/x]\u202e", "--reward", "json.dumps"], "[/x]\\u202e"),
        (["bounds", "--draw", "[/x].gif"], "[/x].gif"),
        (["methods", "[bold]"], "no method '[bold]'"),
    ],
)
def test_names_in_errors(words, expected, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from bandpo.cli.app import app

    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert expected in result.stderr and "\x1b" not in result.stderr and "\u202e" not in result.stderr
