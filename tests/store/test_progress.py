"""A bar on a terminal, lines in a log."""

import io

from bandpo.store import progress
from bandpo.store.progress import Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_a_minute_and_one_at_the_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with Bar(total=300, file=stream, desc="runs", mininterval=0) as bar:
        for second in range(300):
            now[0] = float(second)
            bar.update(1)
            bar.set_postfix(reward=second)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5 and "\r" not in stream.getvalue() and lines[-1].startswith("runs: 100%")


def test_a_terminal_gets_a_bar():
    stream = Terminal()
    with Bar(total=2, file=stream) as bar:
        bar.update(2)
    assert "\r" in stream.getvalue()


def test_a_bar_that_is_off_says_nothing():
    stream = io.StringIO()
    with Bar(total=2, file=stream, disable=True) as bar:
        bar.update(2)
    assert stream.getvalue() == ""
