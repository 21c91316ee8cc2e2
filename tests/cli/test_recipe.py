"""`bandpo recipe`: lists, prints a command a shell takes, checks, refuses."""

import shlex

import pytest
from typer.testing import CliRunner

from bandpo.cli.app import app
from bandpo.runs.paper import PaperRun, command


def recipe(*arguments):
    return CliRunner().invoke(app, ["recipe", *arguments])


def words(shown):
    """The command as a shell reads it: a backslash takes the end of its line away."""
    return shlex.split(shown.output.replace("\\\n", ""))


def test_without_a_model_all_are_listed():
    shown = recipe().output
    assert "qwen2.5-3b-instruct" in shown
    assert "band-chi2" in shown


@pytest.mark.parametrize("engine", ["verl", "trl"])
def test_the_printed_command_is_the_one_that_is_launched(engine):
    shown = recipe("r1-distill-qwen-1.5b", "band-tv", "--engine", engine, "--gpus", "4")
    assert shown.exit_code == 0
    assert words(shown) == command(PaperRun("r1-distill-qwen-1.5b", "band-tv", gpus=4), engine)


def test_further_options_are_handed_on():
    shown = recipe("qwen2.5-7b", "grpo", "trainer.total_epochs=1", "+ray_kwargs.ray_init.num_cpus=8")
    assert words(shown)[-2:] == ["trainer.total_epochs=1", "+ray_kwargs.ray_init.num_cpus=8"]


def test_a_trl_run_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked = recipe("qwen2.5-7b", "band-kl", "--engine", "trl", "--check")
    assert checked.exit_code == 0, checked.output
    assert "qwen2.5-7b-band-kl on trl: composed and valid" in checked.output
    wrong = recipe("qwen2.5-7b", "band-kl", "--engine", "trl", "--check", "--learning_rat", "1")
    assert wrong.exit_code == 2


def test_mistakes_end_with_2_and_name_what_was_expected():
    for arguments, message in (
        (["gpt-5"], "model='gpt-5'"),
        (["qwen2.5-7b", "grpo", "--engine", "nemo"], "engine='nemo'"),
        (["qwen2.5-7b", "grpo", "--launch", "--engine", "trl", "--machines", "2"], "machines=2"),
    ):
        result = recipe(*arguments)
        assert result.exit_code == 2
        assert message in result.output
