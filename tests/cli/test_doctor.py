"""`bandpo doctor` as typed: exit codes, what it reads, how mistakes end."""

import json
import sys

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
        (["trl", "=1"], "expected a name before the ="),
        (["trl", "method_kwargs={max_ratio: 1, max_ratio: 2}"], "'max_ratio' a second time"),
        (["openrlhf", "train.batch_size=0"], "train.batch_size=0: expected a whole number of at least 1"),
        (["verl", "actor_rollout_ref.actor.policy_loss.loss_mode=bandpo", "data.train_batch_size=many"], "many"),
    ],
)
def test_mistakes_end_in_one_line(arguments, message, doctor):
    done = doctor(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.startswith("bandpo doctor:") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"method: band-kl\nmethod: grpo\n", "'method' a second time"),
        ("a.yaml", b"a: {b: 1, c: {d: 1, d: 2}}\n", "'d' a second time"),
        ("a.yaml", b"a: \xff\n", "not UTF-8"),
        ("a.json", b'{"a": {"b": 1, "b": 2}}', "'b' a second time"),
        ("a.json", b"\xfe\xff", "not UTF-8"),
        ("a.toml", b"a = \n", "not TOML" if sys.version_info >= (3, 11) else "3.11"),
    ],
)
def test_files_that_are_no_options_are_named(name, content, message, doctor, tmp_path):
    (tmp_path / name).write_bytes(content)
    done = doctor("trl", str(tmp_path / name))
    assert done.exit_code == 2 and name in done.stderr and message in done.stderr


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
