"""What the live view says, on terminals of any size and encoding."""

import io

import pytest
from rich.console import Console

from bandpo.cli.live.screen import Screen
from bandpo.core.objective.metrics import bucket_names


class Stream(io.StringIO):
    """A terminal of an encoding."""

    encoding = "utf-8"

    def isatty(self):
        return True


def screen(title="band-kl on countdown", steps=480):
    now = [0.0]
    shown = Screen(title, clock=lambda: now[0])
    shown.begin(0, steps)
    shown.evaluated({"step": 0, "mean@32": 0.079, "errors": {"mean@32": 0.01}})
    for step in range(1, 121):
        now[0] = 1.5 * step
        shown.move(step)
        buckets = {f"band/clip_{side}/{name}": step / 1e4 for side in ("high", "low") for name in bucket_names()}
        counts = {f"{name}/tokens": 1234.0 for name in buckets}
        shown.log({"reward": step / 240, "entropy": 1 - step / 200, "band/clip": 0.01, **buckets, **counts})
    shown.log({"band/first_ratio_error": 2e-7})
    shown.evaluated({"step": 120, "mean@32": 0.101})
    return shown


def printed(renderable, width=100, height=30, encoding="utf-8"):
    stream = Stream()
    stream.encoding = encoding
    Console(file=stream, force_terminal=True, color_system=None, width=width, height=height).print(renderable)
    return stream.getvalue()


def test_it_says_how_far_training_is_and_what_the_region_does():
    text = printed(screen())
    for said in (
        "120 of 480 updates, 3:00 gone, 9:00 left",
        "reward     0.500",
        "0.004 to 0.500",
        "stopped    1.00 %",
        "first use  2.0e-07  old and new log-probs agree",
        "p=0.9-1",
        "1,234",
        "held-out problems at update 120: mean@32 0.101 (from 0.079)",
    ):
        assert said in text
    assert text.count("1.20 %") == 12 and "▁" in text and "█" in text


@pytest.mark.parametrize("width", [80, 90, 100, 120, 300])
def test_no_line_is_wider_than_the_terminal(width):
    assert all(len(line) <= min(width, 100) for line in printed(screen(), width).splitlines())
    assert "9:00 left" in printed(screen("a" * 200), width)


@pytest.mark.parametrize("width", [1, 5, 20, 40])
def test_a_terminal_made_narrow_while_it_runs_is_no_error(width):
    assert printed(screen(), width)


def test_a_low_terminal_is_spared_the_buckets():
    text = printed(screen(), height=15)
    assert "p=0.9-1" not in text and "reward" in text and text.count("\n") < 12


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "shift_jis"])
def test_other_encodings_get_signs_they_have(encoding):
    text = printed(screen(), encoding=encoding)
    text.encode("ascii")
    assert "#" in text and "@" in text


def test_before_the_first_log_there_is_progress_alone():
    shown = Screen("grpo on mine", clock=lambda: 0.0)
    assert "starting" in printed(shown)
    shown.begin(100, 200)
    text = printed(shown)
    assert "100 of 200 updates, 0:00 gone" in text and "left" not in text and "stopped at" not in text


def test_a_resumed_run_counts_its_own_time():
    now = [0.0]
    shown = Screen("grpo on mine", clock=lambda: now[0])
    shown.begin(100, 200)
    shown.move(110)
    now[0] = 20.0
    assert "110 of 200 updates, 0:20 gone, 3:00 left" in printed(shown)


def test_log_probs_that_differ_at_their_first_use_are_pointed_out():
    shown = screen()
    shown.log({"band/first_ratio_error": 0.2})
    shown.notice("At the first use [/of] a batch \x1b[31m" + "x" * 2000)
    text = printed(shown)
    assert "2.0e-01  old and new log-probs differ where they must not" in text
    assert "warning: At the first use [/of] a batch" in text and len(text) < 4000


def test_titles_are_no_markup():
    assert "[/red] x" in printed(screen("[/red] x"))
