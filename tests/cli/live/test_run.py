"""A real run on a terminal: the view is there, and the run is the one that a log would have been kept of."""

import json
import os
import pty
import re
import struct
import subprocess
import sys

import pytest

from tests.cli.live.emulator import Emulator

fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
TERMINAL = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}


def on_a_terminal(arguments, folder, interrupt_at=None, **environment):
    """Return exit code and output of `bandpo train` on a terminal; Ctrl-C is typed when `interrupt_at` matches."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bandpo", "train", *arguments],
        cwd=folder,
        env={**inherited, **TERMINAL, **environment},
        stdin=its,
        stdout=its,
        stderr=its,
        preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
    )
    os.close(its)
    output = b""
    while chunk := _read(ours):
        output += chunk
        if interrupt_at is not None and re.search(interrupt_at, output):
            os.write(ours, b"\x03")
            interrupt_at = None
    os.close(ours)
    return process.wait(), output.decode()


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


def of_a_run(folder):
    """Return what a run computed, apart from timings."""
    texts = [(folder / name).read_text() for name in ("metrics.jsonl", "evaluations.jsonl")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    weights = (folder / "model" / "model.safetensors").read_bytes()
    return weights, [{name: value for name, value in line.items() if name != "step_time"} for line in lines]


def test_the_view_changes_nothing_and_stays_on_the_screen(tiny_run, tiny, tmp_path):
    code, output = on_a_terminal([*tiny, "--output_dir", "run"], tmp_path)
    seen = Emulator(output)
    assert code == 0 and of_a_run(tmp_path / "run") == of_a_run(tiny_run[0])
    assert "8 of 8 updates" in seen.text and seen.text.count("p=0.9-1 ") == 1 and "held-out problems at" in seen.text
    assert "model and metrics in run/" in seen.text.splitlines()[-1] and not seen.is_cursor_hidden


@pytest.mark.slow
def test_ctrl_c_leaves_the_terminal_and_a_run_to_resume(tiny_with, tmp_path):
    options = [*tiny_with(max_steps=400), "--output_dir", "run"]
    # Not every update is shown: of the view the first that is past a checkpoint, of the bar the first after resuming.
    code, output = on_a_terminal(options, tmp_path, interrupt_at=rb" ([6-9]|\d\d+) of 400 updates")
    seen = Emulator(output)
    assert code == 130 and not seen.is_cursor_hidden and "Traceback" not in seen.text
    (checkpoint,) = re.findall(r"the same command resumes from (checkpoint-\d+)", seen.text.splitlines()[-1])
    again, output = on_a_terminal([*options, "--live_view", "false"], tmp_path, interrupt_at=rb" ([6-9]|\d\d+)/400")
    assert again == 130 and f"resuming from {checkpoint}" in Emulator(output).text and "gone" not in output


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"CI": "true"}], ids=str)
def test_other_terminals_get_the_bar(environment, tiny_with, tmp_path):
    code, output = on_a_terminal([*tiny_with(max_steps=2), "--output_dir", "run"], tmp_path, **environment)
    assert code == 0 and "updates: 100%" in output and "gone" not in output
