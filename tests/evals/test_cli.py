"""`bandpo eval` as a user types it: help, table, comparison, Ctrl-C and mistakes."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandpo.cli.app import app
from bandpo.evals.generation.protocol import Sample


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda words: CliRunner().invoke(app, ["eval", *shlex.split(words)])


@pytest.fixture
def engine(monkeypatch):
    """The command draws from an engine that answers "1 + 2 + 3 + 4" and stops by Ctrl-C after some batches."""

    class Scripted:
        batches = None

        def generate(self, requests, sampling, max_tokens):
            if self.batches == 0:
                raise KeyboardInterrupt
            self.batches = None if self.batches is None else self.batches - 1
            return [Sample([1], "1 + 2 + 3 + 4", False, 0.5) for _ in requests]

    scripted = Scripted()
    monkeypatch.setattr("bandpo.evals.run.load_engine", lambda *arguments: scripted)
    return scripted


def mistake(result):
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("bandpo ")]
    return line.removeprefix("bandpo eval: ")


def test_help_fits_a_screen_and_its_example_works_as_typed(run):
    result = run("--help")
    lines = result.stdout.rstrip().splitlines()
    assert result.exit_code == 0 and len(lines) <= 40 and max(map(len, lines)) <= 80
    (example,) = re.findall(r"Example:\s+bandpo eval (.*)", result.stdout)
    done = run(example)
    assert done.exit_code == 0, done.output
    assert "1024 samples, writing to runs/eval-countdown-countdown/" in done.stdout
    for name in ("mean@8", "pass@2", "pass@8", "maj@4", "entropy", "uses *", "countdown (128)", "BCa bootstrap"):
        assert name in done.stdout
    assert "maj@2" not in done.stdout and "pass@1" not in done.stdout
    again = run(example)
    assert again.exit_code == 0 and "complete already, nothing to do" in again.stdout and "mean@8" in again.stdout


def test_ctrl_c_says_how_to_go_on(run, engine):
    engine.batches = 3
    command = "--n 4 --limit 10 --batch-size 8 --output-dir out"
    stopped = run(command)
    assert stopped.exit_code == 130
    assert "stopped with 24 of 40 samples saved; the same command goes on (--output-dir out)" in stopped.stderr
    engine.batches = None
    done = run(command)
    assert done.exit_code == 0 and "resuming with 24 of 40 samples" in done.stdout


def test_comparison_is_a_table_and_a_file(run, engine):
    for name in "ab":
        assert run(f"--n 2 --limit 4 --output-dir {name}").exit_code == 0
    result = run("--compare a b --output-dir both")
    assert result.exit_code == 0 and "A − B" in result.stdout and "paired permutation test" in result.stdout
    kept = json.loads(Path("both/comparison.json").read_text())
    assert kept["differences"]["countdown"]["mean@2"]["p"] == 1.0 and kept["p"]["corrected"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--n 0", "n=0: expected at least 1"),
        ("--k 1,x", "k='1,x': expected whole numbers"),
        ("--k 16", "k=16: expected 1 <= k <= 8"),
        ("--tasks nothing.jsonl", "tasks: dataset='nothing.jsonl': no such file"),
        ("--engine tgi", "engine='tgi': expected one of"),
        ("--engine vllm", "engine='vllm': vllm is not installed here"),
        ("--engine-kwargs [1]", "engine_kwargs='[1]': expected a JSON object"),
        ("--chat-template-kwargs {x", "chat_template_kwargs='{x': not a JSON object"),
        ("--compare absent gone", "absent: no evaluation here"),
        ("--max-tokens 9", "max_tokens=9 of countdown: the model has 13 positions"),
    ],
)
def test_a_mistake_is_one_line(run, words, message):
    assert mistake(run(words)).startswith(message)


def test_other_settings_in_a_folder_are_refused(run, engine):
    assert run("--n 2 --limit 4 --output-dir out").exit_code == 0
    line = mistake(run("--n 2 --limit 4 --temperature 0.6 --output-dir out"))
    assert line.startswith("output_dir='out' holds an evaluation with temperature=1.0, now 0.6")
    assert run("--n 2 --limit 4 --temperature 0.6 --output-dir out --overwrite").exit_code == 0
