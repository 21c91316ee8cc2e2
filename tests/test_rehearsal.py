"""A mathematics run from data file to table, at the smallest size: `make rehearsal` is this with more updates."""

import json
import math
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_run_from_data_file_to_table(tmp_path):
    command = [sys.executable, "benchmarks/rehearsal.py", "--updates", "8", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "out" / "rehearsal.json").read_text())
    assert report["updates"] == 8
    assert math.isclose(sum(report["share of the step"].values()), 1)
    assert 0 < report["share of the step"]["loss"] < 0.1
    assert report["evaluations"].keys() == {"before", "after"}
    assert (tmp_path / "out" / "run" / "checkpoint-4").is_dir()
    for phase in ("generation", "forward", "backward", "loss"):
        assert phase in done.stdout
