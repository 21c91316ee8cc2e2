"""The command: runs once what is asked for, goes on where it was stopped, refuses what makes no sense."""

import json

import pytest

from benchmarks.science import run, speed

ARGUMENTS = ["--updates", "16", "--samples", "8", "--seeds", "3,4", "--lr", "1e-4", "--stack", "2"]


def test_finished_runs_are_not_run_again(tmp_path, monkeypatch):
    out = tmp_path / "runs.jsonl"
    common = [*ARGUMENTS, "--out", str(out)]
    assert run.main(["--methods", "grpo", *common]) == 0
    first = out.read_text()
    records = [json.loads(line) for line in first.splitlines()]
    assert [(record["method"], record["seed"]) for record in records] == [("grpo", 3), ("grpo", 4)]
    assert [scores["updates"] for scores in records[0]["curve"]] == [0, 16]
    assert records[0]["final"] == records[0]["curve"][-1]
    assert {"mean@8", "pass@8", "entropy", "rare", "well_formed", "clip", "reward"} <= records[0]["final"].keys()
    assert records[0]["curve"][0]["mean@8"] == pytest.approx(0.079, abs=0.01)
    assert 0.0 < records[0]["final"]["clip"] < 0.1

    monkeypatch.setattr(run, "Stack", None)
    assert run.main(["--methods", "grpo", *common]) == 0
    assert out.read_text() == first


def test_a_cut_line_is_no_run(tmp_path):
    out = tmp_path / "runs.jsonl"
    out.write_text('{"method": "grpo", "fin')
    record = {"method": "grpo", "final": {}}
    run.append(out, [record])
    assert run.read_records(out) == [record]


def test_an_interrupt_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    done = {"method": "grpo", "lr": 1e-4, "seed": 3, "final": {}}

    def interrupted(jobs, device, processes, tell):
        tell([done])
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "execute", interrupted)
    out = tmp_path / "runs.jsonl"
    assert run.main(["--methods", "grpo", *ARGUMENTS, "--out", str(out)]) == 130
    assert run.read_records(out) == [done]
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--updates", "17"], ["--methods", "grop"], ["--lr", "fast"], ["--seeds", "3-1"]])
def test_nonsense_ends_with_two(options, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run.main(["--methods", "grpo", *ARGUMENTS, "--out", str(tmp_path / "x"), *options])
    assert capsys.readouterr().err


def test_the_table_compares_with_processes():
    rows = {
        "separate processes": {"seconds": 100.0, "a rollout": 0.6, "runs a minute": 1.2},
        "stacks of 8": {"seconds": 10.0, "a rollout": 0.06, "runs a minute": 12.0},
    }
    assert "| stacks of 8 | 10.0 | 0.060 | 12.00 | 10.0 |" in speed.table(rows)
