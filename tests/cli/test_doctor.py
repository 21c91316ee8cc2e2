"""`bandpo doctor` as typed: exit codes, what it reads, how mistakes end."""

import json

import pytest

from bandpo.cli.doctor import flat, read_options


def test_trl_options_that_act_and_that_do_not(bandpo_command, tmp_path):
    done = bandpo_command(["doctor", "trl", "--num-iterations", "2", "--method=band-tv"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "method='band-tv'" in done.stdout and "The trust region will act." in done.stdout
    done = bandpo_command(["doctor", "trl"], tmp_path)
    assert done.returncode == 1
    assert "FAIL" in done.stdout and "The trust region will not act as asked." in done.stdout


def test_a_configuration_file_and_later_options_win(bandpo_command, tmp_path):
    (tmp_path / "run.yaml").write_text("method: band-kl\nnum_iterations: 1\n")
    assert bandpo_command(["doctor", "trl", "run.yaml"], tmp_path).returncode == 1
    done = bandpo_command(["doctor", "trl", "--config", "run.yaml", "--num-iterations", "3"], tmp_path)
    assert done.returncode == 0, done.stdout


def test_without_an_engine_it_lists_what_is_installed(bandpo_command, tmp_path):
    done = bandpo_command(["doctor"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trl" in done.stdout and "verl" in done.stdout


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
def test_mistakes_end_in_one_line(arguments, message, bandpo_command, tmp_path):
    done = bandpo_command(["doctor", *arguments], tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.startswith("bandpo doctor:") and done.stderr.count("\n") == 1


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
