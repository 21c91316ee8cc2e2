"""Where a live view is shown, and where not."""

import io

import pytest
from rich.console import Console

from bandpo.cli.live.terminal import can_show
from tests.cli.live.test_screen import Stream

XTERM = {"TERM": "xterm-256color"}


def console(stream=None, width=100, height=30, environment=XTERM):
    return Console(file=stream or Stream(), width=width, height=height, _environ=environment)


@pytest.mark.parametrize("environment", [XTERM, {**XTERM, "CI": ""}, {**XTERM, "CI": "false"}, {"TERM": "screen"}])
def test_a_terminal_gets_it(environment):
    assert can_show(console(environment=environment), environment)


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb"},
        {"TERM": "unknown"},
        {**XTERM, "NO_COLOR": "1"},
        {**XTERM, "CI": "true"},
        {**XTERM, "CI": "1"},
        {**XTERM, "CI": "woodpecker"},
    ],
)
def test_a_plain_terminal_does_not(environment):
    assert not can_show(console(environment=environment), environment)


@pytest.mark.parametrize(("width", "height"), [(79, 30), (100, 11), (20, 5)])
def test_a_small_one_does_not(width, height):
    assert not can_show(console(width=width, height=height), XTERM)


def test_a_pipe_does_not_even_where_colours_are_forced():
    forced = {**XTERM, "FORCE_COLOR": "1"}
    assert not can_show(console(io.StringIO(), environment=forced), forced)
