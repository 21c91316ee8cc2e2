"""A mathematics run from data file to table, at the smallest size: `make rehearsal` is this with more updates."""

import importlib
import json
import math
from pathlib import Path

from typer.testing import CliRunner

from bandpo.cli.app import app

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run_here(*arguments):
    """A command in this process: what a process of its own adds is seen by the tests of the command line."""
    done = CliRunner().invoke(app, arguments, prog_name="bandpo", catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_run_from_data_file_to_table(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    rehearsal = importlib.import_module("rehearsal")
    monkeypatch.setattr(rehearsal, "bandpo", run_here)
    rehearsal.main(["--updates", "8", "--out", str(tmp_path / "out")])
    report = json.loads((tmp_path / "out" / "rehearsal.json").read_text())
    assert report["updates"] == 8
    assert math.isclose(sum(report["share of the step"].values()), 1)
    assert 0 < report["share of the step"]["loss"] < 0.1
    assert report["evaluations"].keys() == {"before", "after"}
    assert (tmp_path / "out" / "run" / "checkpoint-4").is_dir()
    printed = capsys.readouterr().out
    for phase in ("generation", "forward", "backward", "loss"):
        assert phase in printed
