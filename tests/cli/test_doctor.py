"""`bandpo doctor` as typed: exit codes, what it reads, how mistakes end."""

import json

import pytest
from typer.testing import CliRunner

from bandpo.cli.app import app
from bandpo.cli.doctor import flat, read_options


@pytest.fixture
def doctor(monkeypatch, tmp_path):
    """(arguments...) -> the finished command, run in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["doctor", *arguments])


def test_trl_options_that_act_and_that_do_not(doctor):
    done = doctor("trl", "--num-iterations", "2", "--method=band-tv")
    assert done.exit_code == 0, done.output
    assert "method='band-tv'" in done.stdout and "The trust region will act." in done.stdout
    done = doctor("trl")
    assert done.exit_code == 1
    assert "FAIL" in done.stdout and "The trust region will not act as asked." in done.stdout


def test_a_configuration_file_and_later_options_win(doctor, tmp_path):
    (tmp_path / "run.yaml").write_text("method: band-kl\nnum_iterations: 1\n")
    assert doctor("trl", "run.yaml").exit_code == 1
    done = doctor("trl", "--config", "run.yaml", "--num-iterations", "3")
    assert done.exit_code == 0, done.output


def test_without_an_engine_it_lists_what_is_installed(doctor):
    done = doctor()
    assert done.exit_code == 0, done.output
    assert "trl" in done.stdout and "verl" in done.stdout and "FAIL" not in done.stdout


def test_brackets_are_shown_as_they_are(doctor):
    done = doctor("verl", "actor_rollout_ref.actor.policy_loss.loss_mode='[bold]x'")
    assert done.exit_code == 1 and "[bold]x" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vrel"], "no engine 'vrel'"),
        (["trl", "method"], "'method': expected a file"),
        (["trl", "none.yaml"], "none.yaml"),
        (["trl", "a=[1"], "not YAML"),
        (["verl", "actor_rollout_ref.actor.policy_loss.loss_mode=bandpo", "data.train_batch_size=many"], "many"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, doctor):
    done = doctor(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.startswith("bandpo doctor:") and done.stderr.count("\n") == 1


def test_the_command_is_there(bandpo_command, tmp_path):
    assert bandpo_command(["doctor", "verl"], tmp_path).returncode == 1


def test_options_of_every_kind(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"trainer": {"loss": {"kwargs": {"delta": 0.05}}}}))
    (tmp_path / "b.yml").write_text("trainer: {loss: {type: custom}}\nsteps: 3\n")
    read = read_options(
        [str(tmp_path / "a.json"), str(tmp_path / "b.yml"), "steps=4", "++x.y=1e-6", "--use-kl", "--eps-clip", "0.2"]
    )
    assert read == {
        "trainer.loss.kwargs.delta": 0.05,
        "trainer.loss.type": "custom",
        "steps": 4,
        "x.y": "1e-6",
        "use_kl": True,
        "eps_clip": 0.2,
    }


def test_groups_on_the_command_line_are_flattened():
    assert read_options(["+policy.method_kwargs={max_ratio: 10, dual_clip: null}"]) == {
        "policy.method_kwargs.max_ratio": 10,
        "policy.method_kwargs.dual_clip": None,
    }
    assert flat({"a": {}}) == {"a": {}}


def test_toml(tmp_path):
    pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    (tmp_path / "c.toml").write_text('[trainer.loss]\ntype = "custom"\n')
    assert read_options([str(tmp_path / "c.toml")]) == {"trainer.loss.type": "custom"}
