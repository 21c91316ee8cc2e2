"""The view in place: what is printed goes above it, and however it ends the terminal is as it was."""

import contextlib
import logging
import os
import sys
import types
import warnings

import pytest

from bandpo.cli.console import _Console
from bandpo.cli.live import view
from bandpo.cli.live.view import LiveView
from bandpo.engines.common.findings import Finding, FindingWarning
from tests.cli.live.emulator import Emulator
from tests.cli.live.test_screen import Stream


@pytest.fixture
def terminal(monkeypatch):
    """A terminal, 100 wide, which `live` makes standard error and, unless a test has another, standard output."""
    monkeypatch.setattr(view, "_SECONDS", 0.0)
    return Stream()


@pytest.fixture
def live(monkeypatch, terminal):
    """(standard error, standard output) -> the view on them, entered; pytest has its own streams before and after."""

    @contextlib.contextmanager
    def on(err=terminal, out=terminal):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", err)
            patch.setattr(sys, "stdout", out)
            patch.setattr(warnings, "showwarning", _written)
            console = _Console(stderr=True, force_terminal=True, width=100, height=30)
            try:
                with LiveView("band-kl on countdown", console) as shown:
                    yield shown
            finally:
                assert sys.stderr is err and sys.stdout is out and warnings.showwarning is _written

    return on


def _written(message, category, filename, lineno, file=None, line=None):
    """As Python shows warnings, outside of pytest."""
    sys.stderr.write(warnings.formatwarning(message, category, "here.py", lineno, line="code"))


def at(step):
    return types.SimpleNamespace(global_step=step, max_steps=4)


def begun(shown):
    shown.on_train_begin(None, at(0), None)
    shown.on_step_end(None, at(1), None)
    shown.on_log(None, at(1), None, logs={"reward": 0.5, "entropy": 0.7})
    return shown


def test_whatever_is_printed_stands_above_it(live, terminal):
    log = logging.getLogger("test_view")
    log.addHandler(logging.StreamHandler(terminal))
    with live() as shown:
        begun(shown)
        print("printed [/red] \x1b[31mred\x1b[0m")
        print("begun, ", end="", flush=True)
        print("and ended")
        log.warning("logged")
        warnings.warn("warned of", UserWarning, stacklevel=1)
        print("\rbar 1\rbar 2\rbar 3")
        print("x" * 250)
        shown.on_step_end(None, at(2), None)
        print("no line end", end="")
    log.handlers.clear()
    seen = Emulator(terminal.getvalue())
    lines = [line.rstrip() for line in seen.lines]
    assert lines[:3] == ["printed [/red] red", "begun, and ended", "logged"] and "warned of" in lines[3]
    assert "bar 3" in lines and "x" * 50 in lines and "bar 2" not in seen.text
    (place,) = (number for number, line in enumerate(lines) if "of 4 updates" in line)
    assert "2 of 4 updates" in lines[place] and place > lines.index("x" * 50)
    assert lines[-2:] == ["no line end", ""] and not seen.unknown


HOSTILE = [
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x1b[5A",
    "a\x07b",
    "\x9b31m",
    "a\u202eb",
    "\x1b]8;;file:///x\x1b\\y",
    "[/b]",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_sequence_but_colours_gets_through(live, terminal, text):
    with live() as shown:
        begun(shown)
        print(text)
        sys.stderr.write(text)
        sys.stderr.flush()
        warnings.warn(FindingWarning(Finding("warn", text)), stacklevel=1)
        shown.evaluated({"step": 1, f"{text}@2": 0.5, "x": text})
        shown.on_step_end(None, at(2), None)
    seen = Emulator(terminal.getvalue())
    assert not seen.unknown and "2 of 4 updates" in seen.text and not seen.is_cursor_hidden
    assert all(char.isprintable() for line in seen.lines for char in line)


def test_a_finding_stays_in_sight(live, terminal):
    with live() as shown:
        begun(shown)
        warnings.warn(FindingWarning(Finding("warn", "every ratio must be 1")), stacklevel=1)
        warnings.warn("another", UserWarning, stacklevel=1)
        shown.on_step_end(None, at(2), None)
    lines = [line.rstrip() for line in Emulator(terminal.getvalue()).lines if line.strip()]
    assert lines[-1] == "warning: every ratio must be 1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_however_it_ends_the_terminal_is_as_it_was(live, terminal, error):
    with pytest.raises(error), live() as shown:
        begun(shown)
        raise error
    print("after", file=terminal)
    seen = Emulator(terminal.getvalue())
    assert not seen.is_cursor_hidden and seen.lines[-2].rstrip() == "after" and not seen.lines[-1]


def test_a_killed_run_leaves_the_cursor(live, terminal):
    with live() as shown:
        begun(shown)
        assert not Emulator(terminal.getvalue()).is_cursor_hidden


def test_it_is_drawn_where_it_was(live, terminal):
    with live() as shown:
        begun(shown)
        for step in range(100):
            shown.on_step_end(None, at(step % 4), None)
    assert Emulator(terminal.getvalue()).text.count("updates") == 1


def test_it_is_drawn_once_a_second_at_most(live, terminal, monkeypatch):
    monkeypatch.setattr(view, "_SECONDS", 60.0)
    with live() as shown:
        begun(shown)
        before = terminal.getvalue()
        for _ in range(1000):
            shown.on_log(None, at(1), None, logs={"reward": 0.1})
        assert len(terminal.getvalue()) - len(before) < 20_000


class Gone(Stream):
    """A terminal that is closed after a while."""

    is_gone = False

    def write(self, text):
        if self.is_gone:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_gone_ends_the_view_not_the_run(live):
    stream = Gone()
    with live(stream, stream) as shown:
        begun(shown)
        stream.is_gone = True
        for step in range(3):
            shown.on_step_end(None, at(step), None)


def test_what_a_forked_process_prints_is_written_as_it_is(live, tmp_path):
    out = tmp_path / "out"
    with open(out, "w", buffering=1) as stream, live(stream) as shown:
        begun(shown)
        stream.flush()
        child = os.fork()
        if child == 0:
            print("of the child", file=sys.stderr, flush=True)
            shown.on_step_end(None, at(3), None)
            stream.flush()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert out.read_text().endswith("of the child\n") and "3 of 4" not in out.read_text()


def test_standard_output_that_is_a_file_keeps_all_that_is_printed(live, terminal, tmp_path):
    with open(tmp_path / "out", "w") as stream, live(terminal, stream) as shown:
        begun(shown)
        print("for the file")
    assert (tmp_path / "out").read_text() == "for the file\n" and "for the file" not in terminal.getvalue()
