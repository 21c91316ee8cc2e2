"""An option given twice: a list grows, anything else is a mistake that names both values."""

import pytest
from typer.testing import CliRunner

from bandpo.cli.app import app


def run(*words):
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        (["bounds", "--p", "0.1,0.5"], ["bounds", "--p", "0.1", "--p=0.5"]),
        (["bounds", "--methods", "band-tv,grpo"], ["bounds", "--methods=band-tv", "--methods", "grpo"]),
        (["match", "--eps", "0.2,0.3"], ["match", "--eps", "0.2", "--eps", "0.3"]),
        (["bounds", "--delta", "0.02"], ["bounds", "--delta", "0.02", "--delta", "0.02"]),
    ],
)
def test_a_list_given_in_parts_is_the_whole_list(once, twice):
    assert run(*once).exit_code == 0
    assert run(*once).stdout == run(*twice).stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bounds", "--delta", "0.1", "--delta", "0.2"], "--delta is given twice, as '0.1' and '0.2'"),
        (["match", "--delta=0.1", "--delta=0.2"], "--delta is given twice"),
        (["eval", "--model", "a", "--model", "b"], "--model is given twice, as 'a' and 'b'"),
        (["eval", "--n", "1", "--n", "2"], "--n is given twice"),
        (["compare", "--out", "a", "--out", "b"], "--out is given twice"),
        (["atlas", "--out", "a.html", "--out", "b.html"], "--out is given twice"),
        (["train", "--seed", "1", "--seed=2"], "--seed 1 and --seed 2: expected one value"),
        (["train", "--learning-rate", "1", "--learning_rate", "2"], "--learning-rate 1 and --learning_rate 2"),
        (["train", "--use_cpu", "--use_cpu", "false"], "--use_cpu and --use_cpu false"),
        (["train", "--config", "countdown", "--config", "general"], "--config countdown and general: expected one"),
    ],
)
def test_two_values_for_one_are_a_mistake(words, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.exit_code == 2 and expected in result.stderr and not list(tmp_path.iterdir())


def test_the_version_is_printed():
    from bandpo import __version__

    assert run("--version").stdout == f"bandpo {__version__}\n"
