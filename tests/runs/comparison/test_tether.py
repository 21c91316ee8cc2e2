"""A run's process ends with whoever started it, and finds its input empty."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bandpo.runs.comparison import tether

# Stands for `python -m bandpo`: says what it was given, then sleeps.
STAND_IN = """
import sys, time
print(sys.argv, repr(sys.stdin.read()), sys.path[0], flush=True)
if "sleep" in sys.argv:
    time.sleep(60)
"""
# Starts one as a comparison does, and sleeps.
PARENT = """
import os, subprocess, sys, time
ends = os.pipe()
child = subprocess.Popen([sys.executable, sys.argv[1], "train", "sleep"], stdin=ends[0], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "bandpo").mkdir()
    (tmp_path / "bandpo" / "__init__.py").touch()
    (tmp_path / "bandpo" / "__main__.py").write_text(STAND_IN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


def test_it_runs_what_python_would(here):
    ends = os.pipe()
    command = [sys.executable, tether.__file__, "train", "--seed", "1"]
    done = subprocess.run(command, stdin=ends[0], capture_output=True, text=True, timeout=60)
    for end in ends:
        os.close(end)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"'train', '--seed', '1'] '' {here}\n")


@pytest.mark.parametrize("is_stopped", [False, True])
def test_it_dies_with_its_parent(here, is_stopped):
    if is_stopped and sys.platform != "linux":
        pytest.skip("only Linux kills a stopped process with its parent")
    command = [sys.executable, "-c", PARENT, tether.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        if is_stopped:
            child.suspend()
        os.kill(parent.pid, signal.SIGKILL)
    assert is_gone(child)


def test_it_ends_when_the_pipe_closes(here):
    """As on systems that do not kill it."""
    ours, theirs = os.pipe()
    command = [sys.executable, tether.__file__, "train", "sleep"]
    with subprocess.Popen(command, stdin=ours, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        assert process.poll() is None
        os.close(theirs)
        assert process.wait(10) == 1
    os.close(ours)


def is_gone(process, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False
